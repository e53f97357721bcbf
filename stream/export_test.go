package stream

// SetPaced makes a cursor see what a connection sees.
func SetPaced(c *Cursor) { c.paced = true }
