// Package limits bounds what one client, and what all clients together, may
// take of the server: streams, sockets, answers under way, and requests a
// second.
//
// It counts and says no. It writes no answer: its caller does, in words that
// fit the request.
package limits

// Limits are the bounds. A zero turns a bound off.
type Limits struct {
	// Conns is how many streams may be open in all.
	Conns int
	// ConnsPerClient is how many streams one client may have open.
	ConnsPerClient int
	// ConnectRate is how many streams one client may open a second, on
	// average; a burst of ten seconds' worth is let through.
	ConnectRate float64
	// PublishRate is how many requests to publish one client may make a
	// second, on average; a burst of a second's worth is let through.
	PublishRate float64
	// Sockets is how many sockets may be open in all, SocketsPerClient how many
	// of one client: see [Sockets].
	Sockets, SocketsPerClient int
	// Requests is how many requests may wait for their answer, or be taking it,
	// in all, and RequestsPerClient how many of one client. Streams and probes
	// do not count.
	Requests, RequestsPerClient int
}
