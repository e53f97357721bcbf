// Package sse reads and writes text/event-stream, the wire format of
// Server-Sent Events (WHATWG HTML, section 9.2): a [Message] is one block of it,
// a [Decoder] reads the blocks of a stream, and a [Client] reads a stream over
// as many connections as it takes:
//
//	for msg, err := range sse.Read(ctx, "https://example.org/events", nil) { … }
//
// The Client works with any server of Server-Sent Events. From Weir it also
// learns of gaps ([GapError]), and when a stream has ended for good.
//
// The package knows nothing of topics, logs or connections, and imports the
// standard library only.
package sse
