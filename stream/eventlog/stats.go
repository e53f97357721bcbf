package eventlog

// Stats describe a log at one moment.
type Stats struct {
	Entries int    // held
	Bytes   int64  // that those keep in memory, encodings included
	Limit   int64  // of Bytes
	History int    // limit of Entries
	Last    ID     // of the newest event
	Floor   ID     // nothing up to it is held
	Head    uint64 // entries ever put in
}

// Stats returns what the log holds now.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return Stats{
		Entries: l.all.held(), Bytes: l.bytes, Limit: l.opts.Bytes, History: l.opts.History,
		Last: l.last, Floor: l.all.floor, Head: l.all.head,
	}
}
