package stream

import "weir/stream/internal/fanout"

// A Transport is how streams are written.
type Transport string

// The transports.
const (
	// TransportPlain writes through net/http, by the handler's own goroutine:
	// ServeHTTP returns when the stream is over, and the end of the request's
	// context ends the stream: at once, or when the write under way is over, as
	// Conn.Close does. It serves every version of HTTP on every system. It relies on
	// http.ResponseController to set write deadlines, so a middleware's writer needs
	// Unwrap() http.ResponseWriter. Without it, which the log tells once for each type
	// of writer, http.Server.WriteTimeout ends streams (which counts as client, where
	// net/http does not say what it was); and who takes nothing is cut off with
	// [ConnContext] alone, on HTTP/2 only when the whole connection takes nothing:
	// else neither WriteTimeout, Conn.Close nor Drain ends a write that waits.
	TransportPlain Transport = "plain"
	// TransportLean takes plain HTTP/1.1 connections over from net/http on Linux,
	// and lets a few goroutines write to all that have caught up. It takes a
	// connection over only when ConnContext is set and the connection is a
	// *net.TCPConn or one of NewListener, never what wraps one. All others are
	// served as by TransportPlain. For a connection that was taken over:
	//   - ServeHTTP returns while the stream is open, so what a middleware does
	//     after it comes too early;
	//   - the request's context ends with ServeHTTP, and says nothing more;
	//   - Subscription.Expires, Subscription.Done and Conn.Close take their place.
	TransportLean Transport = "lean"
)

// A transport puts bytes on their way to the client.
type transport interface {
	// write returns when all is on its way, or fails when the client takes
	// nothing for the write timeout: with an error that is
	// os.ErrDeadlineExceeded.
	write(p []byte) error
	// batch is write for what many connections share.
	batch(b *fanout.Batch, gzip bool) error
	// taken returns how many entries of a batch whose write has failed were taken
	// whole.
	taken(b *fanout.Batch, gzip bool) int
	// close is called once, when nothing will be written any more. An orderly
	// end tells the client that it has everything.
	close(orderly bool)
}

// unsentLimit is how many bytes a stream's socket takes that are not on their way
// yet, on both transports: see netpoll.LimitUnsent.
const unsentLimit = 256 << 10
