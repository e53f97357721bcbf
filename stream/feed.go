package stream

import (
	"weir/stream/eventlog"
	"weir/stream/internal/fanout"
)

// A feed is one view of the topic in one format, for as long as somebody reads
// it.
type feed struct {
	*fanout.Feed
	key     feedKey
	readers int
}

type feedKey struct {
	filter string // its patterns, joined
	format *eventlog.Format
}
