package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A pollDriver reads plain HTTP/1.1 connections by epoll: a few goroutines,
// one large buffer each, one system call for all that a connection has ready.
// A goroutine and a buffer for each connection would cost as much as the
// server's own.
type pollDriver struct {
	workers []*poller
	done    sync.WaitGroup
}

type poller struct {
	sh    *shard
	addr  unix.Sockaddr
	inet6 bool
	ep    int
	wake  int // an eventfd: there is something in the inbox
	buf   []byte
	// gather is how long to wait between one look and the next. On one machine
	// the sender of bytes pays for waking their receiver: without a pause the
	// server is charged for waking the bench thousands of times a second.
	gather time.Duration

	mu    sync.Mutex
	inbox []func()

	// The rest belongs to the worker's goroutine, under the shard's lock.
	fds    []int32 // by client, -1 for none
	gen    []int32 // of the descriptor: events of an older one are stale
	local  map[*client]int
	queue  []int // clients that wait for their next attempt, or for an answer
	held   bool  // between cut and resume
	ending bool
	swept  int64
}

func newPollDriver(ctx context.Context, s *swarm) (driver, error) {
	addr, err := lookup(ctx, s.opts)
	if err != nil {
		return nil, err
	}
	d := &pollDriver{}
	for _, sh := range s.shards {
		p := &poller{sh: sh, buf: make([]byte, 256<<10), gather: s.opts.Gather, local: make(map[*client]int)}
		p.addr, p.inet6 = sockaddr(addr)
		if p.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
		if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return nil, fmt.Errorf("eventfd: %w", err)
		}
		if err = unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, p.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}); err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
		for i, c := range sh.clients {
			p.local[c] = i
			p.fds = append(p.fds, -1)
			p.gen = append(p.gen, 0)
		}
		d.workers = append(d.workers, p)
		d.done.Go(p.run)
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + len(d.workers)) // each holds one: see run
	return d, nil
}

func sockaddr(a *net.TCPAddr) (unix.Sockaddr, bool) {
	if ip := a.IP.To4(); ip != nil {
		return &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}, false
	}
	return &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}, true
}

// do has f run by the worker, under the shard's lock.
func (p *poller) do(f func()) {
	p.mu.Lock()
	p.inbox = append(p.inbox, f)
	first := len(p.inbox) == 1
	p.mu.Unlock()
	if first {
		_, _ = unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it is signalled already
	}
}

// all has f run by every worker, and waits for it.
func (d *pollDriver) all(f func(p *poller)) {
	var done sync.WaitGroup
	for _, p := range d.workers {
		done.Add(1)
		p.do(func() {
			defer done.Done()
			f(p)
		})
	}
	done.Wait()
}

func (d *pollDriver) open(c *client) {
	for _, p := range d.workers {
		if p.sh == c.sh {
			p.do(func() { p.dial(p.local[c]) })
		}
	}
}

func (d *pollDriver) cut() {
	d.all(func(p *poller) {
		p.held = true
		for i, c := range p.sh.clients {
			if p.fds[i] >= 0 {
				p.reset(i)
			}
			if c.state != finished {
				c.state = idle
			}
		}
		p.queue = p.queue[:0]
	})
}

func (d *pollDriver) resume() {
	d.all(func(p *poller) {
		p.held = false
		for i, c := range p.sh.clients {
			if c.state == idle {
				p.dial(i)
			}
		}
	})
}

func (d *pollDriver) release() {
	d.all(func(p *poller) {
		for i, c := range p.sh.clients {
			if c.state == stuck {
				_ = p.interest(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN)
			}
		}
	})
}

func (d *pollDriver) close() {
	d.all(func(p *poller) {
		p.ending = true
		for i, fd := range p.fds {
			if fd >= 0 {
				p.forget(i)
			}
		}
	})
	d.done.Wait()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - len(d.workers))
	for _, p := range d.workers {
		_ = unix.Close(p.wake)
		_ = unix.Close(p.ep)
	}
}

// pollStep is how often clients that wait are looked at.
const pollStep = 10 * time.Millisecond

func (p *poller) run() {
	events := make([]unix.EpollEvent, 1024)
	sh := p.sh
	for {
		timeout := -1
		if len(p.queue) > 0 {
			timeout = int(pollStep / time.Millisecond)
		}
		// A raw call keeps the worker's processor, of which there is one for each.
		// A call that says that it may block is looked after by the runtime, every
		// 20 µs, which would be a sixth of what the generator costs. Where the
		// runtime wants the worker to stop, it interrupts the call.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
		switch {
		case errno == syscall.EINTR:
			runtime.Gosched()
			n = 0
		case errno != 0:
			panic(fmt.Sprintf("epoll: %v", errno)) // the arguments cannot be wrong
		}
		for i := range int(n) {
			ev := &events[i]
			if ev.Fd < 0 {
				p.work()
				continue
			}
			sh.Lock()
			if k := int(ev.Fd); p.gen[k] == ev.Pad && p.fds[k] >= 0 {
				p.ready(k, ev.Events)
			}
			sh.Unlock()
		}
		if p.ending {
			return
		}
		if n > 0 && p.gather > 0 {
			pauseNow(p.gather) // interrupted, it is shorter
		}
		if len(p.queue) > 0 {
			sh.Lock()
			p.sweep(sh.swarm.clock.now())
			sh.Unlock()
		}
	}
}

// work empties the inbox.
func (p *poller) work() {
	var count [8]byte
	_, _ = unix.Read(p.wake, count[:]) // makes it quiet again
	p.mu.Lock()
	inbox := p.inbox
	p.inbox = nil
	p.mu.Unlock()
	p.sh.Lock()
	defer p.sh.Unlock()
	for _, f := range inbox {
		f()
	}
}

// sweep sees to the clients whose time has come.
func (p *poller) sweep(now int64) {
	if now-p.swept < int64(pollStep)/2 {
		return
	}
	p.swept = now
	queue := p.queue
	p.queue = nil
	for _, i := range queue {
		c := p.sh.clients[i]
		switch {
		case c.state == waiting && now >= c.retryAt && !p.held:
			p.dial(i)
		case c.state == waiting:
			p.queue = append(p.queue, i)
		case c.state == dialing && c.sent:
			// No answer yet. That is no fault of the connection: a server may
			// send its head with the first event.
		case c.state == dialing && now-c.began > int64(p.sh.swarm.opts.ConnectTimeout):
			p.over(i, "connecting takes too long")
		case c.state == dialing:
			p.queue = append(p.queue, i)
		}
	}
}

func (p *poller) dial(i int) {
	c := p.sh.clients[i]
	now := p.sh.swarm.clock.now()
	c.dial(now)
	family := unix.AF_INET
	if p.inet6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.again(i, c.ended(now, "socket: "+err.Error()))
		return
	}
	p.fds[i] = int32(fd)
	p.gen[i]++
	if err := unix.Connect(fd, p.addr); err != nil && err != unix.EINPROGRESS {
		p.over(i, "connect: "+err.Error())
		return
	}
	if err := p.interest(unix.EPOLL_CTL_ADD, i, unix.EPOLLOUT); err != nil {
		p.over(i, "epoll: "+err.Error())
		return
	}
	p.queue = append(p.queue, i)
}

func (p *poller) interest(op, i int, events uint32) error {
	return unix.EpollCtl(p.ep, op, int(p.fds[i]), &unix.EpollEvent{Events: events, Fd: int32(i), Pad: p.gen[i]})
}

// over ends a client's connection, and sees to the next attempt.
func (p *poller) over(i int, why string) {
	c := p.sh.clients[i]
	p.forget(i)
	p.again(i, c.ended(p.sh.swarm.clock.now(), why))
}

func (p *poller) again(i int, again bool) {
	if again && !p.ending {
		p.queue = append(p.queue, i)
	}
}

// forget closes the descriptor, which takes it out of the epoll set as well.
func (p *poller) forget(i int) {
	_ = unix.Close(int(p.fds[i]))
	p.fds[i] = -1
	p.gen[i]++
}

// reset cuts a connection off: the server sees a reset, as from a network
// that went away, and no port of ours stays reserved.
func (p *poller) reset(i int) {
	_ = unix.SetsockoptLinger(int(p.fds[i]), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	p.forget(i)
}

func (p *poller) ready(i int, events uint32) {
	c := p.sh.clients[i]
	if c.state == dialing && !c.sent {
		if e, err := unix.GetsockoptInt(int(p.fds[i]), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e != 0 {
			p.over(i, "connect: "+syscall.Errno(e).Error())
			return
		}
		request := c.request()
		if n, err := unix.Write(int(p.fds[i]), request); err != nil || n < len(request) {
			p.over(i, fmt.Sprintf("send the request: %v", err))
			return
		}
		c.sent = true
		// Edge-triggered, or each look would ask every socket twice. What a read
		// leaves is read at once: see below.
		if err := p.interest(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET); err != nil {
			p.over(i, "epoll: "+err.Error())
		}
		return
	}
	ends := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 // nothing more will be said of it
	for p.read(i) || ends && p.fds[i] >= 0 {
	}
}

// read reads once, and reports whether there may be more.
func (p *poller) read(i int) (more bool) {
	c := p.sh.clients[i]
	r, errno := recvNow(int(p.fds[i]), p.buf)
	switch {
	case errno == syscall.EINTR:
		return true
	case errno == syscall.EAGAIN:
		return false
	case errno != 0:
		p.over(i, "read: "+errno.Error())
		return false
	case r == 0:
		why := ""
		if c.http.state != atEnd && c.http.state != inRest {
			why = "the server ended the connection in the middle of an answer"
		}
		p.over(i, why)
		return false
	}
	p.sh.tick(p.sh.swarm.clock.now())
	if err := c.take(p.buf[:r]); err != nil {
		why := err.Error()
		if errors.Is(err, errEnd) {
			why = ""
		}
		p.over(i, why)
		return false
	}
	if c.slow && c.state == open {
		c.state = stuck
		_ = p.interest(unix.EPOLL_CTL_MOD, i, 0) // errors and hang-ups still come
		return false
	}
	return r == len(p.buf)
}
