// Package sse reads and writes text/event-stream, the wire format of
// Server-Sent Events (WHATWG HTML, section 9.2): a [Message] is one block of it,
// and a [Decoder] reads the blocks of a stream.
//
// The package knows nothing of topics, logs or connections, and imports the
// standard library only.
package sse
