package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// found collects what a parser finds.
type found struct {
	events   []mark
	controls []string
}

func (f *found) event(m mark) { f.events = append(f.events, m) }
func (f *found) control(name, data []byte) {
	f.controls = append(f.controls, string(name)+" "+string(data))
}

// pieces hands b over in every way that matters: whole, byte by byte, and at
// random places.
func pieces(b string, feed func([]byte), begin func(), check func(how string)) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for how := range 22 {
		begin()
		for rest := []byte(b); len(rest) > 0; {
			n := len(rest)
			switch {
			case how == 1:
				n = 1
			case how > 1:
				n = 1 + rnd.IntN(min(len(rest), 40))
			}
			feed(slices.Clone(rest[:n])) // so that what the parser keeps must be its own
			rest = rest[n:]
		}
		check(fmt.Sprintf("way %d", how))
	}
}

func TestSSEParser(t *testing.T) {
	const t1, t2 = 1763834025123456789, 17638340251234
	for _, c := range []struct {
		name, stream string
		events       []mark
		controls     []string
		id           string
		retry        time.Duration
	}{
		{
			name:   "an event of Weir",
			stream: "retry: 2000\nevent: connected\ndata: {\"connection\":\"c\"}\n\nid: 5-0\ndata: {\"id\":\"5-0\",\"data\":{\"t\":1763834025123456789,\"n\":12,\"pad\":\"x\"}}\n\n",
			events: []mark{{t1, 12, true}}, controls: []string{`connected {"connection":"c"}`}, id: "5-0", retry: 2 * time.Second,
		},
		{name: "CRLF, no space, a comment", stream: ": hello\r\nid:7\r\ndata:{\"t\":5,\"n\":6}\r\n\r\n", events: []mark{{5, 6, true}}, id: "7"},
		{name: "inside a JSON string", stream: "data: {\"d\":\"{\\\"t\\\":5,\\\"n\\\":6}\"}\n\n", events: []mark{{5, 6, true}}},
		{name: "escaped for HTML, on the second line", stream: "data: <li>\ndata: {&#34;t&#34;:5,&#34;n&#34;:6}</li>\n\ndata: {&quot;t&quot;:17638340251234,&quot;n&quot;:7}\n\n", events: []mark{{5, 6, true}, {t2, 7, true}}},
		{name: "as text in HTML", stream: "data: <b>bench-t=17638340251234 bench-n=7 xxx</b>\n\n", events: []mark{{t2, 7, true}}},
		{name: "another order, and spaces", stream: "data: {\"n\": 6, \"pad\":\"\", \"t\": 5}\n\n", events: []mark{{5, 6, true}}},
		{name: "marks move", stream: "data: {\"t\":5,\"n\":6}\n\ndata: {\"longer\":1,\"t\":7,\"n\":8}\n\ndata: {\"t\":9,\"n\":10}\n\n", events: []mark{{5, 6, true}, {7, 8, true}, {9, 10, true}}},
		{name: "events of somebody else", stream: "event: tick\ndata: 1\n\ndata: {\"t\":\"x\"}\n\ndata\n\ndata:\n\n", events: []mark{{}, {}, {}}},
		{name: "an empty block dispatches nothing", stream: "id: 3\n\nevent: x\n\n\n", id: "3"},
		{name: "an event without its end does not count, nor its ID", stream: "id: 1\ndata: {\"t\":5,\"n\":6}\n\nid: 2\ndata: {\"t\":5,\"n\":7}\n", events: []mark{{5, 6, true}}, id: "1"},
		{name: "server's own events", stream: "event: gap\ndata: {\"reason\":\"slow\"}\n\nevent: ping\ndata: {}\n\nevent: close\ndata: {}\n\ndata: {\"t\":1,\"n\":2}\n\n",
			events: []mark{{1, 2, true}}, controls: []string{`gap {"reason":"slow"}`, "ping {}", "close {}"}},
		{name: "a number too long", stream: "data: {\"t\":12345678901234567890,\"n\":2}\n\n", events: []mark{{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f found
			var p sseParser
			memos := []*memo{nil, new(memo)} // by turns: each way is tried with what the one before has left
			pieces(c.stream, func(b []byte) { p.feed(b) },
				func() {
					f, p = found{}, sseParser{out: &f, memo: memos[0]}
					memos[0], memos[1] = memos[1], memos[0]
				},
				func(how string) {
					if !slices.Equal(f.events, c.events) || !slices.Equal(f.controls, c.controls) || string(p.id) != c.id || p.retry != c.retry {
						t.Errorf("%s: found %v, %q, id %q, retry %v", how, f.events, f.controls, p.id, p.retry)
					}
				})
		})
	}
}

// Clients that get the same bytes, some of them in other pieces.
func TestMemo(t *testing.T) {
	var all string
	for i := range 60 {
		switch {
		case i%20 == 19:
			all += "event: gap\nretry: 70\ndata: {}\n\n"
		case i%3 > 0:
			all += fmt.Sprintf("id: %d\n", i)
			fallthrough
		default:
			all += fmt.Sprintf("data: {\"t\":%d,\"n\":%d}\n\n", 1000+i, i)
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	var shared memo
	for range 200 {
		var alone, together found
		a, b := sseParser{out: &alone}, sseParser{out: &together, memo: &shared}
		for rest := all; len(rest) > 0; {
			n := strings.Index(rest, "\n\n") + 2 // mostly whole events
			if rnd.IntN(10) == 0 {
				n = 1 + rnd.IntN(len(rest))
			}
			a.feed([]byte(rest[:n]))
			b.feed([]byte(rest[:n]))
			rest = rest[n:]
		}
		if !slices.Equal(alone.events, together.events) || !slices.Equal(alone.controls, together.controls) || string(a.id) != string(b.id) || a.retry != b.retry {
			t.Fatalf("with a memo: %v %v %q %v; without: %v %v %q %v", together.events, together.controls, b.id, b.retry, alone.events, alone.controls, a.id, a.retry)
		}
	}
	// One after the other, in the same pieces: here it serves.
	for i := range 3 {
		var f found
		p := sseParser{out: &f, memo: &shared}
		text := "id: 7\ndata: {\"t\":1,\"n\":2}\n\ndata: {\"t\":3,\"n\":4}\n\n"
		if i > 0 && string(shared.text) != text {
			t.Error("the memo has not kept the events")
		}
		p.feed([]byte(text))
		if want := []mark{{1, 2, true}, {3, 4, true}}; !slices.Equal(f.events, want) || string(p.id) != "7" {
			t.Errorf("client %d: events %v, id %q", i, f.events, p.id)
		}
	}
}

func TestNumber(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		want := rnd.Int64() >> rnd.IntN(63)
		text := strconv.FormatInt(want, 10)
		got, n := number([]byte(text + ",more"))
		if got != want || n != len(text) {
			t.Fatalf("number(%s) = %d in %d bytes", text, got, n)
		}
		if got, n := number([]byte(text)); got != want || n != len(text) {
			t.Fatalf("number(%s) = %d in %d bytes", text, got, n)
		}
	}
	for _, bad := range []string{"", "x", "-1", " ", "99999999999999999999", "9999999999999999999"} {
		if v, n := number([]byte(bad)); n != 0 {
			t.Errorf("number(%q) = %d in %d bytes, want none", bad, v, n)
		}
	}
}

func TestHTTPParser(t *testing.T) {
	event := func(n int) string { return fmt.Sprintf("data: {\"t\":%d,\"n\":%d}\n\n", 1000+n, n) }
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	all := event(1) + event(2) + event(3)
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	for _, c := range []struct {
		name, response string
		status, events int
		ended          bool
		problem        string
	}{
		{name: "chunked", response: head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(event(1)) + chunk(event(2)+event(3)), status: 200, events: 3},
		{name: "chunks that do not fit events", response: head + "transfer-encoding: Chunked\r\n\r\n" + chunk(all[:7]) + chunk(all[7:30]) + "1;ext=\"1\"\r\n" + all[30:31] + "\r\n" + chunk(all[31:]) + "0\r\n\r\n", status: 200, events: 3, ended: true},
		{name: "until the connection ends", response: head + "Connection: close\r\n\r\n" + all, status: 200, events: 3},
		{name: "with a length", response: head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(all)) + all, status: 200, events: 3, ended: true},
		{name: "an interim answer first", response: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + head + "\r\n" + all, status: 200, events: 3},
		{name: "refused", response: "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 5\r\n\r\nfull!", status: 503, ended: true, problem: "full!"},
		{name: "nothing more to come", response: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, ended: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f found
			var p sseParser
			var h httpParser
			pieces(c.response,
				func(b []byte) {
					if err := h.feed(b, &p); err != nil {
						t.Error(err)
					}
				},
				func() { f = found{}; p = sseParser{out: &f}; h.reset() },
				func(how string) {
					if h.status != c.status || len(f.events) != c.events || (h.state == atEnd) != c.ended || string(h.problem) != c.problem {
						t.Errorf("%s: status %d, %d events, state %d, problem %q", how, h.status, len(f.events), h.state, h.problem)
					}
					if c.status == 503 && h.retryAfter != 2*time.Second {
						t.Errorf("%s: Retry-After is %v", how, h.retryAfter)
					}
				})
		})
	}
}

func TestHTTPParserRefuses(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, response := range map[string]string{
		"not HTTP":             "SSH-2.0-OpenSSH_9.9\r\n\r\n",
		"HTTP/2":               "HTTP/2.0 200 OK\r\n\r\n",
		"a status of letters":  "HTTP/1.1 abc\r\n\r\n",
		"a head without end":   "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20000),
		"no chunk size":        head + "\r\nx",
		"a bad chunk size":     head + "zz\r\n",
		"a vast chunk size":    head + "fffffffffffffffff\r\n",
		"a chunk that is long": head + "1\r\nxyz",
		"a negative length":    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	} {
		var p sseParser
		p.out = new(found)
		var h httpParser
		if err := h.feed([]byte(response), &p); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestSSEParserLineLimit(t *testing.T) {
	p := sseParser{out: new(found)}
	for range maxLine/(1<<20) + 1 {
		p.feed(bytes.Repeat([]byte{'x'}, 1<<20))
	}
	if p.err == nil {
		t.Error("a line without end is kept for ever")
	}
}

func FuzzHTTPParser(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\ndata: {\"t\":1,\"n\":2}\r\n"), uint8(3))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nid: 1\nevent: gap\ndata: {\"t\":1,\"n\":2}\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		var shared memo
		parse := func(step int) (found, string, error) {
			var out found
			p := sseParser{out: &out, memo: &shared}
			var h httpParser
			for rest := b; len(rest) > 0; {
				n := min(step, len(rest))
				if err := h.feed(rest[:n], &p); err != nil {
					return out, string(p.id), err
				}
				rest = rest[n:]
			}
			return out, string(p.id), nil
		}
		whole, id1, err1 := parse(len(b) + 1)
		again, id3, err3 := parse(len(b) + 1) // by the memo
		if (err1 == nil) != (err3 == nil) || id1 != id3 || !slices.Equal(whole.events, again.events) || !slices.Equal(whole.controls, again.controls) {
			t.Errorf("at first: %v %q %v; again: %v %q %v", whole, id1, err1, again, id3, err3)
		}
		parts, id2, err2 := parse(int(step%16) + 1)
		if (err1 == nil) != (err2 == nil) || err1 == nil && (id1 != id2 || !slices.Equal(whole.events, parts.events) || !slices.Equal(whole.controls, parts.controls)) {
			t.Errorf("whole: %v %q %v; in parts: %v %q %v", whole, id1, err1, parts, id2, err2)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	event := fmt.Sprintf("id: 1763834025123-0\ndata: {\"specversion\":\"1.0\",\"id\":\"1763834025123-0\",\"source\":\"/topics/bench\",\"type\":\"weir.event\",\"time\":\"2026-11-22T17:53:45.123Z\",\"data\":{\"t\":1763834025123456789,\"n\":1234560000000000,\"pad\":\"%s\"}}\n\n", strings.Repeat("x", 150))
	const events = 100
	buf := bytes.Repeat([]byte(event), events)
	p := sseParser{out: counter{}}
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		p.feed(buf)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

type counter struct{}

func (counter) event(mark)          {}
func (counter) control(_, _ []byte) {}
