package sse

// The names of the control events: what a stream of Weir carries beside the events
// of its topic. No event may have such a name, nor may a format give it one. Each has data, since some clients take
// a block without data for an empty message, and others pass over the id in it.
const (
	EventConnected   = "connected"    // first
	EventGap         = "gap"          // events were lost to this client: see [GapError]
	EventStreamError = "stream-error" // a fault that the user should see, or a refusal that will pass
	EventPing        = "ping"         // a heartbeat, and the last word of a stream whose client shall come back
	EventClose       = "close"        // the client shall not come back
)
