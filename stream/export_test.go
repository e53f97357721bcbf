package stream

import "time"

// SetPaced makes a cursor see what a connection sees.
func SetPaced(c *Cursor) { c.lane = c.log.join() }

// Part is what the end of a connection does.
func Part(c *Cursor) { c.log.part(c.lane) }

// SetWriting says how long writing to the connections of a cursor's lane took.
func SetWriting(c *Cursor, d time.Duration) { c.lane.sweep.Store(int64(d)) }
