package stream

import (
	"errors"
	"os"
	"syscall"
)

// A poller notices when clients go away, by epoll. The runtime's own poller
// waits for the epoll instance, so that no thread is held by it.
type poller struct {
	file *os.File
	fd   int
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, err
	}
	return &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}, nil
}

// Edge-triggered, and without EPOLLIN: a client that talks on does not wake
// anybody.
const departure = syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall has as a negative number

// add watches a connection until it is closed.
func (p *poller) add(fd int, key uint64) error {
	event := syscall.EpollEvent{Events: departure, Fd: int32(key), Pad: int32(key >> 32)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &event)
}

func (p *poller) remove(fd int) { _ = syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_DEL, fd, nil) } // fails when it is not there

// run calls gone for each connection whose client has gone, until close.
func (p *poller) run(gone func(key uint64)) {
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

func (p *poller) close() { _ = p.file.Close() }

// writeNow writes what the socket takes without waiting.
func writeNow(fd int, p []byte) (int, error) {
	n, err := retry(send, fd, p)
	if errors.Is(err, syscall.EAGAIN) {
		return 0, nil
	}
	return n, err
}

// retry calls until no signal comes in between.
func retry(call func(fd int, p []byte) (int, error), fd int, p []byte) (n int, err error) {
	for {
		if n, err = call(fd, p); err != syscall.EINTR {
			return n, err
		}
	}
}
