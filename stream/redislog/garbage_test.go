package redislog_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/redislog"
)

// A liar is a server that answers everything with the same bytes, again and
// again, as long as it is listened to.
func liar(t *testing.T, text string, endless bool) (addr string, closed <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ends := make(chan struct{}, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				defer func() { ends <- struct{}{} }()
				b := make([]byte, 4096)
				if _, err := c.Read(b); err != nil {
					return
				}
				for sent := 0; ; sent += len(text) {
					if _, err := c.Write([]byte(text)); err != nil {
						return
					}
					if !endless || sent > 1<<30 {
						break
					}
				}
				_, _ = io.Copy(io.Discard, c) // until the other side closes
			}()
		}
	}()
	return l.Addr().String(), ends
}

var lies = map[string]struct {
	text    string
	endless bool
}{
	"another protocol":      {"HTTP/1.1 400 Bad Request\r\n\r\n", false},
	"binary":                {"\x15\x03\x01\x00\x02\x02\x50", true},
	"a line without end":    {strings.Repeat("+", 4096), true},
	"a huge string":         {"$9223372036854775807\r\n", false},
	"a large string":        {"$2000000000\r\nxxxx", true},
	"a negative length":     {"$-7\r\n", false},
	"a huge array":          {"*2147483647\r\n", false},
	"arrays in arrays":      {strings.Repeat("*1\r\n", 1000), true},
	"an array that goes on": {"*1000000\r\n" + strings.Repeat("$100000\r\n"+strings.Repeat("x", 100000)+"\r\n", 20), true},
	"empty lines":           {"\r\n\r\n", true},
	"nothing":               {"", false},
}

// A server that does not speak Redis's protocol, or never comes to an end, is
// told of, left, and costs next to nothing.
func TestLiarAtOpen(t *testing.T) {
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			addr, closed := liar(t, lie.text, lie.endless)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := redislog.Open(t.Context(), redislog.Options{URL: "redis://:s3cret@" + addr, Timeout: short})
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
				t.Errorf("Open: %v", err)
			}
			if took > 5*short {
				t.Errorf("it took %s", took)
			}
			if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 200 {
				t.Errorf("%d MB were allocated", mb)
			}
			select {
			case <-closed:
			case <-time.After(patience):
				t.Error("the connection stays open")
			}
			t.Log(err)
		})
	}
}

// A server that begins to lie while a node follows is as one that is away.
func TestLiarLater(t *testing.T) {
	t.Parallel()
	s := startRedis(t, persistent...)
	link := newProxy(t, s.addr())
	n := newNode(t, redislog.Options{URL: link.url(), Timeout: short})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 3)
	c.awaitNumber(2)
	faults := 0
	for name, lie := range lies {
		addr, _ := liar(t, lie.text, lie.endless)
		link.redirect(addr)
		await(t, name+" is noticed", func() bool { return n.hub.Health()[topic].Broker.State != stream.SourceUp })
		if _, err := n.publish(-1); !errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("%s: publish: %v", name, err)
		}
		link.redirect(s.addr())
		n.awaitState(stream.SourceUp)
		faults = count(c.messages(), "stream-error")
	}
	await(t, "publishing works", func() bool { _, err := n.publish(3); return err == nil })
	c.awaitNumber(3)
	c.wants(upTo(0, 4), faults)
}

// The guard lets Redis's own answers through, in whatever pieces they come.
func FuzzGuard(f *testing.F) {
	for _, answer := range []string{
		"+PONG\r\n", "-ERR no\r\n", ":7\r\n", "$-1\r\n", "*-1\r\n", "$0\r\n\r\n", "*0\r\n", "$3\r\na\nb\r\n",
		"*2\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n+OK\r\n", "%1\r\n+a\r\n:1\r\n",
	} {
		f.Add([]byte(answer), 1)
	}
	for _, lie := range lies {
		f.Add([]byte(lie.text[:min(len(lie.text), 1000)]), 5)
	}
	f.Fuzz(func(t *testing.T, answer []byte, size int) {
		whole := redislog.Scan(answer)
		var pieces [][]byte
		for rest := answer; len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if parts := redislog.Scan(pieces...); (whole == nil) != (parts == nil) {
			t.Errorf("%q: as a whole %v, in pieces of %d %v", answer, whole, size, parts)
		}
	})
}

// Whatever stands in Redis is read or refused, and an event that is accepted
// can be served.
func FuzzEntry(f *testing.F) {
	f.Add("7-1", "v", "1", "a", "{}", "d", "1")
	f.Add("7-1", "v", "1", "e", "over", "", "")
	f.Add("x", "hello", "world", "", "", "", "")
	f.Fuzz(func(t *testing.T, id, n1, v1, n2, v2, n3, v3 string) {
		fields := []any{n1, v1, n2, v2, n3, v3}
		entry := []any{id, fields}
		err := redislog.ParseEntry(entry)
		snapshot := []any{"1", "2", int64(1), int64(1), id, id, int64(0), []any{entry}}
		if got := redislog.ParseSnapshot(snapshot); err != nil && got == nil {
			t.Errorf("%q is refused (%v), and a page with it is not", entry, err)
		}
		for _, broken := range []any{nil, "text", []any{id}, []any{id, fields[:5]}, []any{fields, id}, append(snapshot[:7:7], entry)} {
			if redislog.ParseEntry(broken) == nil || redislog.ParseSnapshot(broken) == nil {
				t.Errorf("%v is accepted", broken)
			}
		}
	})
}

// A notification is read or refused; what is accepted can be served.
func FuzzNotification(f *testing.F) {
	f.Add([]byte("1 5-1 7 2\n5-2 2 1\n{}15-3 2 4\n{}\"a\"\n"))
	f.Add([]byte("1 0-0 0 1\n5-2 end 4\nover"))
	f.Add([]byte("1 0-0 0 0\n"))
	f.Add([]byte("1 0-0 0 9999999999\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		kept := bytes.Clone(text)
		events, _, _ := redislog.ParseNotification(text)
		for i := range text {
			text[i] = 'x' // the events have to be their own
		}
		for _, e := range events {
			if line, err := e.AppendCloudEvent(nil); err != nil {
				t.Errorf("%q: an accepted event is served as %q, %v", kept, line, err)
			}
		}
	})
}
