package stream

import (
	"sync"

	"weir/stream/internal/netpoll"
)

// hangUps tells the lean transport when clients go: the connections that were
// taken over have nobody who reads from them.
type hangUps struct {
	mu       sync.Mutex
	poller   *netpoll.Poller
	users    int
	sessions map[uint64]*session
	keys     uint64
}

// start counts a user in, and reports whether there can be any.
func (h *hangUps) start() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.poller == nil {
		poller, err := netpoll.NewPoller()
		if err != nil {
			return false
		}
		h.poller = poller
		h.sessions = make(map[uint64]*session)
		go poller.Run(func(key uint64) {
			h.mu.Lock()
			s := h.sessions[key]
			h.mu.Unlock()
			if s != nil {
				s.stop(&closure{reason: s.conn.leftBy()})
			}
		})
	}
	h.users++
	return true
}

// watch has a session told when its client hangs up.
func (h *hangUps) watch(fd int, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys++
	s.hangUpKey = h.keys
	h.sessions[h.keys] = s
	_ = h.poller.Add(fd, h.keys) // else the next write will tell
}

// leave counts a user out, and forgets the key of its connection. With the last
// user the poller ends.
func (h *hangUps) leave(key uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, key)
	if h.users--; h.users == 0 {
		_ = h.poller.Close() // an epoll instance: nothing is lost
		h.poller, h.sessions = nil, nil
	}
}
