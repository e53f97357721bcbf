package netpoll

import (
	"errors"
	"os"
	"syscall"
)

// A Poller notices when the peers of connections hang up, by epoll. The
// runtime's own poller waits for the epoll instance, so that Run blocks no thread. Its methods may be called by any goroutine.
type Poller struct {
	file *os.File
	fd   int
}

// NewPoller returns a poller, which is to be closed.
func NewPoller() (*Poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd) // the first error says it all
		return nil, err
	}
	return &Poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}, nil
}

// hangUp is edge-triggered, and without EPOLLIN: a client that talks on wakes
// nobody. The second number is EPOLLET, which package syscall has as a negative
// one.
const hangUp = syscall.EPOLLRDHUP | 1<<31

// Add has Run report the key when the peer of a connection hangs up. A
// connection that is closed leaves the poller by itself.
func (p *Poller) Add(fd int, key uint64) error {
	event := syscall.EpollEvent{Events: hangUp, Fd: int32(key), Pad: int32(key >> 32)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &event)
}

// Run calls gone with the key of each connection whose peer has hung up, until
// Close.
func (p *Poller) Run(gone func(key uint64)) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			var err error
			n, err = syscall.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && !errors.Is(err, syscall.EINTR)
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:max(n, 0)] {
			gone(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
		}
	}
}

// Close ends Run.
func (p *Poller) Close() error { return p.file.Close() }
