package stream

import (
	"net"
	"net/http"
)

// Beside the handler's goroutine net/http has another one for each connection of
// HTTP/1: it waits in Read, to cancel the request's context when the client goes.
// Of a stream the poller tells that too. So the goroutine is sent away, and its
// stack, a sixth of what an idle stream holds, with it: its Read returns nothing,
// and no error, by which net/http takes it that there is nothing to be done.

// A rester is a connection of [NewListener] where the system has a poller.
type rester interface {
	net.Conn
	// rest has no Read wait until resume. When the connection is closed
	// meanwhile, the session is told.
	rest(s *session)
	resume()
}

// rest sends net/http's reader away, if it can. That is there when the request
// has no body.
func (s *session) rest(r *http.Request) {
	conn, ok := r.Context().Value(connKey{}).(rester)
	if !ok || r.ProtoMajor != 1 || r.TLS != nil || r.ContentLength != 0 || !s.h.pumps.start() {
		return
	}
	watched := false
	_ = rawConn(conn).Control(func(fd uintptr) { s.key, watched = s.h.pumps.watch(int(fd), &s.conn) }) // fails when it is closed
	if !watched {
		s.h.pumps.leave(s.key)
		return
	}
	s.resting = conn
	conn.rest(s)
}

// resume leaves the connection to net/http as it was: another request may come.
func (s *session) resume() {
	if s.resting == nil {
		return
	}
	_ = rawConn(s.resting).Control(func(fd uintptr) { s.h.pumps.unwatch(int(fd)) }) // a closed one is not watched
	s.resting.resume()
}
