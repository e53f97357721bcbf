package eventlog

// The log's bound in bytes counts events and their encodings. Encodings are a
// cache: whoever needs one makes it again. So they give way before events do,
// the oldest first, and a reader of a second format costs nobody his history.

// makeRoom drops encodings, then entries, until n more bytes fit. The caller
// holds l.mu.
func (l *Log) makeRoom(n int64) {
	for l.bytes+n > l.opts.Bytes && l.all.held() > 0 {
		if l.cached > 0 {
			l.forgetOldest()
		} else {
			l.evict()
		}
	}
}

// forgetOldest drops the encodings of the oldest entry that has some; there is
// one. The caller holds l.mu.
func (l *Log) forgetOldest() {
	for l.bare = max(l.bare, l.all.tail); ; l.bare++ {
		if e := l.all.at(l.bare); e.cached > 0 {
			l.bytes -= e.cached
			l.cached -= e.cached
			e.cached = 0
			e.encodings.Store(nil)
			return
		}
	}
}

// encoded counts n bytes that an entry's new encoding takes. While the log is
// full of other entries' encodings, older ones make room. Of an entry that the
// log has dropped already nothing is counted.
func (l *Log) encoded(e *Entry, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.index < l.all.tail || e.index >= l.all.head || l.all.at(e.index) != e {
		return
	}
	e.cached += n
	l.cached += n
	l.bytes += n
	l.bare = min(l.bare, e.index)
	for l.bytes > l.opts.Bytes && l.cached > 0 {
		l.forgetOldest()
	}
}
