package eventlog

import "time"

// Stats describe a log at one moment.
type Stats struct {
	Entries int    // held
	Notices int    // announcements among Entries
	Bytes   int64  // that those keep in memory, encodings included
	Limit   int64  // of Bytes
	History int    // limit of Entries
	Last    ID     // of the newest event
	Floor   ID     // nothing up to it is held
	Oldest  ID     // of the oldest event held; zero when there is none
	Head    uint64 // entries ever put in
	// LastMinute is how many of the events held came in the last minute. More may have
	// come if the log does not hold the whole of that minute, or began in it: see WholeMinute.
	LastMinute  int
	WholeMinute bool
}

// Stats returns what the log holds now.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	lastMinute, whole := l.lastMinute(time.Now())
	var oldest ID
	for i := l.all.tail; i < l.all.head && oldest.IsZero(); i++ {
		if e := l.all.at(i); e.Event != nil { // else it is an announcement, with the ID of what came before
			oldest = e.ID
		}
	}
	return Stats{
		Entries: l.all.held(), Notices: l.all.held() - int(l.all.events(l.all.tail, l.all.head)), Bytes: l.bytes, Limit: l.opts.Bytes, History: l.opts.History,
		Last: l.last, Floor: l.all.floor, Oldest: oldest, Head: l.all.head, LastMinute: lastMinute, WholeMinute: whole,
	}
}
