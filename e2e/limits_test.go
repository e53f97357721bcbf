package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// transports are the ways in which the server writes to its clients.
var transports = []string{"auto", "net/http"}

// Clients leave at every moment: before they have said what they want, while
// they are refused, while events come. No place is lost by it.
func TestNoSlotIsLost(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { loseNoSlot(t, transport) })
	}
}

func loseNoSlot(t *testing.T, transport string) {
	const places, clients, atOnce = 40, 4000, 100
	s := startServer(t, "-transport", transport, "-source", "t=http", "-max-conns", fmt.Sprint(places), "-max-conns-per-client", "0", "-connect-rate", "0", "-publish-rate", "0",
		"-max-sockets", "5000") // sockets that are refused linger for half a second each
	pub := startPublisher(s, time.Millisecond)
	var all sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for range clients {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			request := "GET /sse-stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
			if rand.IntN(4) == 0 {
				request = request[:rand.IntN(len(request))]
			}
			_, _ = io.WriteString(conn, request)
			if rand.IntN(3) == 0 && strings.HasSuffix(request, "\r\n\r\n") {
				_, _ = io.CopyN(io.Discard, conn, int64(rand.IntN(2000)))
			}
			if rand.IntN(2) == 0 {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
		})
	}
	all.Wait()
	pub.finish(t)
	s.connections(0)

	// All places are there, and not one more.
	for range places {
		subscribe(t, s.url()+"/sse-stream", nil)
	}
	both(t, 503, "as many streams", "GET", s.url()+"/sse-stream", "")
	s.connections(places)
}

// A client that takes nothing is cut after the write timeout. Meanwhile the
// others get every event, and the publisher does not wait.
func TestSlowClientIsCutWhileOthersFlow(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { cutTheSlow(t, transport) })
	}
}

func cutTheSlow(t *testing.T, transport string) {
	const events = 3000
	s := startServer(t, "-transport", transport, "-source", "t=http", "-write-timeout", "1s", "-publish-rate", "0")
	slow, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_ = slow.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(slow, "GET /sse-stream?format=json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReaderSize(slow, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q %v", line, err)
	}
	fast := []*subscription{subscribe(t, s.url()+"/sse-stream?format=json", nil), subscribe(t, s.url()+"/sse-stream?format=json", nil)}
	s.connections(3)
	var reading sync.WaitGroup
	for _, r := range fast {
		reading.Go(func() {
			for n := range events {
				var m message
				for m = r.next(); m.event == "connected"; m = r.next() {
				}
				if !strings.Contains(m.data, fmt.Sprintf(`"seq":%d,`, n)) {
					t.Errorf("%.80q came where event %d should", m.data, n)
					return
				}
			}
		})
	}
	padding := strings.Repeat("x", 8000)
	for n := 0; n < events; n += 50 {
		var batch []string
		for i := n; i < n+50; i++ {
			batch = append(batch, fmt.Sprintf(`{"seq":%d,"padding":%q}`, i, padding))
		}
		s.publish("t", batch...)
	}
	reading.Wait()
	s.connections(2)
	var m struct {
		Closed map[string]int `json:"closed_connections"`
		Errors float64        `json:"error_rate"`
	}
	s.getJSON("/sse-metrics", &m)
	if m.Closed["slow"] != 1 || m.Errors == 0 {
		t.Errorf("connections closed %v with an error rate of %v, want one that was slow", m.Closed, m.Errors)
	}
}
