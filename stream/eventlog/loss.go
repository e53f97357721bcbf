package eventlog

import "time"

// How soon a reader loses events is told from the log as it is: no one has to watch
// it for a while before. An ID tells when its event came, so the log knows how many
// have come lately.

const (
	// rateOver is how far the rate looks back that a time to loss is told by: far
	// enough that a rate is one, near enough to notice that it has changed.
	rateOver = 10 * time.Second
	// burst is how many entries after a pause tell a rate of their own.
	burst = 10
	// lagsAfter is for how long a reader's next entry has been in the log, of a
	// reader that lags. What is younger is on its way.
	lagsAfter = time.Second
	// maxLoss is the longest time to loss that is told. Nobody plans for longer.
	maxLoss = 24 * time.Hour
)

// rate returns how many entries a second the log has got lately: since then, or since
// what it dropped last, or the first of a burst, if that is later. The caller holds l.mu.
func (l *Log) rate(now time.Time, over time.Duration) float64 {
	from := latest(IDAt(now.Add(-over)), l.all.floor)
	least := time.Millisecond
	if l.all.tail == 0 { // nothing has been dropped: the log has just been made
		least = time.Second
	}
	first := l.all.after(from)
	entries := l.all.head - first
	since := from.Time()
	if entries >= burst { // one that has just begun has its own rate
		since = l.all.at(first).At
	}
	return float64(entries) / max(now.Sub(since), least).Seconds()
}

// lastMinute returns Stats.LastMinute and WholeMinute. The caller holds l.mu.
func (l *Log) lastMinute(now time.Time) (events int, whole bool) {
	from := IDAt(now.Add(-time.Minute))
	first := max(l.all.after(from), l.all.tail)
	return int(l.all.events(first, l.all.head)), !l.all.floor.After(from) // what came before the log began is not known, nor what it has dropped
}

// waiting returns for how long the entry has been in the log that the reader reads
// next; 0 when there is none. For a reader that has lost entries it is the oldest held.
// The caller holds the log's mu.
func (c *Cursor) waiting(now time.Time) time.Duration {
	v := c.view
	if next := max(c.next.Load(), v.tail); next < v.head {
		return max(0, now.Sub(v.at(next).At))
	}
	return 0
}

// TimeToLoss returns how long it takes until the log drops the entry that the reader
// reads next, if the reader stays where it is and entries come as they did in the last
// ten seconds, or since a burst began. It counts the older entries, and those for which there is room left by
// number or by size, whichever is less. It is 0 when the reader has lost events
// already, and a day at most. It is not ok when the reader does not lag (what waits for
// it has waited for less than a second), or when nothing comes.
func (c *Cursor) TimeToLoss(now time.Time) (left time.Duration, ok bool) {
	v, l := c.view, c.view.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.ended != "" || c.waiting(now) < lagsAfter {
		return 0, false
	}
	next := c.next.Load()
	if v.events(next, v.tail) > 0 {
		return 0, true
	}
	next = max(next, v.tail)
	rate := l.rate(now, rateOver)
	if rate == 0 {
		return 0, false
	}
	held := l.all.held()
	size := max((l.bytes-l.cached)/int64(held), 1) // encodings give way before entries do
	room := min(int64(l.opts.History-held), (l.opts.Bytes-l.bytes+l.cached)/size)
	entries := int64(v.at(next).index-l.all.tail) + max(room, 0) + 1
	return time.Duration(min(float64(entries)/rate, maxLoss.Seconds()) * float64(time.Second)), true
}
