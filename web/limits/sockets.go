package limits

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Sockets bounds the sockets of a server, in all and for each client. It is
// wired to a server by two fields of [http.Server]: ConnContext and ConnState.
//
// Beyond a bound a few more sockets are let in as spare ones. The first answer on a
// spare socket says that there is no room, and the socket is closed soon; only
// probes are answered as usual. So a flood of sockets is refused in words, and the
// server does not look dead. Beyond the spare sockets, and beyond a client's share
// of them, a socket is closed at once. Only many clients together can use up the
// spare sockets that a probe needs.
type Sockets struct {
	// TurnedAway, if set, is called for each socket beyond a bound, the spare ones
	// included. Set it before the server begins.
	TurnedAway func(client netip.Addr, why Shortage)

	slots, spare *Slots
	proxies      Proxies
	conns        sync.Map // net.Conn → *Socket, of those that net/http still has
}

// spareLife is how long a spare socket may last.
const spareLife = 5 * time.Second

// NewSockets bounds the sockets in all and those of one client; 0 is no bound.
// Trusted proxies have no bound for one client: their sockets carry the requests of
// others.
func NewSockets(inAll, perClient int, proxies Proxies) *Sockets {
	spare := spareSockets(inAll)
	return &Sockets{slots: NewSlots(inAll, perClient), spare: NewSlots(spare, max(spare/8, 2)), proxies: proxies}
}

// spareSockets returns how many sockets beyond a bound are let in to be told
// that there is no room.
func spareSockets(inAll int) int { return min(max(inAll/8, 4), 32) }

// A Socket is one connection of a client, which may carry many requests.
type Socket struct {
	shortage Shortage
	refused  bool // not even a spare one
	release  func()
	hijacked bool // set by ConnState(StateHijacked), in the goroutine that hijacks and later reads it
}

type socketKey struct{}

// SocketOf returns the socket by which a request came, or nil.
func SocketOf(ctx context.Context) *Socket {
	s, _ := ctx.Value(socketKey{}).(*Socket)
	return s
}

// Shortage says why the socket is a spare one. A nil socket has room.
func (s *Socket) Shortage() Shortage {
	if s == nil {
		return Room
	}
	return s.shortage
}

// StreamOver tells that the stream that was served by the socket has ended. A
// stream may have taken the connection away from net/http, which then does not
// tell when it is closed.
func (s *Socket) StreamOver() {
	if s != nil && s.hijacked {
		s.release()
	}
}

// ConnContext is for [http.Server].
func (s *Sockets) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	var addr netip.Addr
	if port, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		addr = port.Addr().Unmap()
	}
	if s.proxies.trusts(addr) {
		addr = netip.Addr{}
	}
	sock := &Socket{}
	sock.release, sock.shortage = s.slots.take(addr, addr.IsValid())
	if sock.shortage != Room {
		if s.TurnedAway != nil {
			s.TurnedAway(addr, sock.shortage)
		}
		release, full := s.spare.take(addr, addr.IsValid())
		if full != Room {
			sock.refused, release = true, func() {}
		}
		sock.release = release
	}
	s.conns.Store(conn, sock)
	return context.WithValue(ctx, socketKey{}, sock)
}

// ConnState is for [http.Server].
func (s *Sockets) ConnState(conn net.Conn, state http.ConnState) {
	found, ok := s.conns.Load(conn)
	if !ok {
		return
	}
	sock := found.(*Socket)
	switch state {
	case http.StateNew:
		switch {
		case sock.refused:
			_ = conn.Close()
		case sock.shortage != Room:
			timer := time.AfterFunc(spareLife, func() { _ = conn.Close() })
			release := sock.release
			sock.release = func() { timer.Stop(); release() }
		}
	case http.StateHijacked:
		sock.hijacked = true
		s.conns.Delete(conn)
	case http.StateClosed:
		s.conns.Delete(conn)
		sock.release()
	}
}

// Taken returns how many sockets are open, by how many clients, and how many
// spare ones.
func (s *Sockets) Taken() (total, clients, spare int) {
	total, clients = s.slots.Taken()
	spare, _ = s.spare.Taken()
	return total, clients, spare
}

// DefaultSockets derives the bounds for sockets from the number of open files
// that the process may have (0: not known), and from the bounds for streams:
// room for all streams and for as many requests beside them as is usual, as
// far as there are descriptors for them and for everything else.
func DefaultSockets(openFiles uint64, l Limits) (inAll, perClient int) {
	if l.Conns > 0 {
		inAll = l.Conns + max(256, l.Conns/4)
	}
	if openFiles > 0 && openFiles < 1<<30 {
		files := int(openFiles)
		most := files - min(max(files/4, 16), 256)
		most = max(most-spareSockets(most), 8)
		if inAll == 0 || inAll > most {
			inAll = most
		}
	}
	if l.ConnsPerClient > 0 {
		perClient = 2*l.ConnsPerClient + 56
		if inAll > 0 {
			perClient = min(perClient, max(inAll/2, 4))
		}
	}
	return inAll, perClient
}
