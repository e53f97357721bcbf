//go:build !386 && !s390x

package netpoll

import (
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Peer asks the system for the state of a connection's other end (TCP_INFO). It
// is not ok for what is closed or not TCP.
func Peer(raw syscall.RawConn) (state PeerState, ok bool) {
	p := probes.Get().(*probe)
	defer probes.Put(p)
	if err := raw.Control(p.ask); err != nil || !p.ok {
		return PeerState{}, false
	}
	return PeerState{
		Outstanding: p.info.Unacked > 0 || p.info.Probes > 0,
		Quiet:       time.Duration(p.info.Last_ack_recv) * time.Millisecond,
		Acked:       p.info.bytesAcked,
		Queued:      p.info.notSent,
		Reset:       p.info.State == tcpClose,
	}, true
}

// tcpClose is the state of a connection that was reset (TCP_CLOSE); one that the
// peer has closed is in TCP_CLOSE_WAIT.
const tcpClose = 7

// tcpInfo is struct tcp_info of linux/tcp.h, as far as it is needed: package
// syscall's ends before the counters of bytes. Kernels before 4.6 leave notSent
// at zero.
type tcpInfo struct {
	syscall.TCPInfo
	_             [2]uint64 // pacing rates
	bytesAcked    uint64
	bytesReceived uint64
	_             [2]uint32 // segments out and in
	notSent       uint32
}

// A probe is used again: thousands of connections are asked about.
type probe struct {
	info tcpInfo
	ok   bool
	ask  func(fd uintptr)
}

var probes = sync.Pool{New: func() any {
	p := new(probe)
	p.ask = func(fd uintptr) {
		p.info = tcpInfo{}
		size := uint32(unsafe.Sizeof(p.info))
		_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&p.info)), uintptr(unsafe.Pointer(&size)), 0)
		p.ok = errno == 0
	}
	return p
}}
