package netpoll_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"weir/stream/internal/netpoll"
)

// connected returns the two ends of a TCP connection.
func connected(t *testing.T) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// A hang-up is told once, by the whole of its key, although the connection stays
// open on this side.
func TestPollerTellsOnce(t *testing.T) {
	p, err := netpoll.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	told := map[uint64]int{}
	news, ended := make(chan uint64, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(func(key uint64) {
			mu.Lock()
			told[key]++
			mu.Unlock()
			select {
			case news <- key:
			default:
			}
		})
	}()
	keys := []uint64{1, 1<<40 | 1, 1<<63 | 1<<31 | 7}
	for _, key := range keys {
		server, client := connected(t)
		fd, ok := netpoll.Descriptor(server)
		if !ok {
			t.Fatal("the connection has no descriptor")
		}
		if err := p.Add(fd, key); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("who talks has not hung up")); err != nil {
			t.Fatal(err)
		}
		_ = client.CloseWrite()
		select {
		case got := <-news:
			if got != key {
				t.Errorf("told of %#x, want %#x", got, key)
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("the hang-up of %#x is not told", key)
		}
	}
	_ = p.Close()
	<-ended
	for _, key := range keys {
		if told[key] != 1 {
			t.Errorf("the hang-up of %#x was told %d times", key, told[key])
		}
	}
}
