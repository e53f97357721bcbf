package sse_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"weir/stream/sse"
)

type block struct{ ID, Event, Data string }

func decodeAll(t *testing.T, r io.Reader) []block {
	t.Helper()
	d := sse.NewDecoder(r)
	var got []block
	for {
		m, err := d.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		got = append(got, block{m.ID, m.Event, string(m.Data)})
	}
}

// The examples and rules of WHATWG HTML, section 9.2.6.
func TestDecoder(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []block
	}{
		{"three lines of data", "data: YHOO\ndata: +2\ndata: 10\n\n", []block{{"", "message", "YHOO\n+2\n10"}}},
		{"comment, IDs, reset of the ID", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
			[]block{{"1", "message", "first event"}, {"", "message", "second event"}, {"", "message", " third event"}}},
		{"empty data", "data\n\ndata\ndata\n\ndata:", []block{{"", "message", ""}, {"", "message", "\n"}}},
		{"optional space", "data:test\n\ndata: test\n\n", []block{{"", "message", "test"}, {"", "message", "test"}}},
		{"line ends mixed", "data: a\rdata: b\r\ndata: c\n\r\n", []block{{"", "message", "a\nb\nc"}}},
		{"CR CR", "data: a\r\rdata: b\r\r", []block{{"", "message", "a"}, {"", "message", "b"}}},
		{"byte order mark", "\uFEFFdata: a\n\n", []block{{"", "message", "a"}}},
		{"second byte order mark is data's", "data: \uFEFFa\n\n", []block{{"", "message", "\uFEFFa"}}},
		{"named, and the name does not stay", "event: x\ndata: a\n\ndata: b\n\n", []block{{"", "x", "a"}, {"", "message", "b"}}},
		{"name without data is dropped", "event: x\n\ndata: b\n\n", []block{{"", "message", "b"}}},
		{"ID without data stays", "id: 7\n\ndata: b\n\n", []block{{"7", "message", "b"}}},
		{"ID with NUL is ignored", "id: 7\nid: 8\x009\ndata: b\n\n", []block{{"7", "message", "b"}}},
		{"unfinished event is dropped", "data: a\n\ndata: b\n", []block{{"", "message", "a"}}},
		{"unknown field", "datum: a\nDATA: b\n data: c\ndata: d\n\n", []block{{"", "message", "d"}}},
		{"colon first is a comment", ":data: a\n\n", nil},
		{"invalid UTF-8", "data: a\xffb\n\n", []block{{"", "message", "a\uFFFDb"}}},
		{"nothing", "", nil},
		{"a lone byte of a mark", "\xEF", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)),
			} {
				if got := decodeAll(t, r); !reflect.DeepEqual(got, tc.want) {
					t.Errorf("%s: got %q, want %q", how, got, tc.want)
				}
			}
		})
	}
}

func TestDecoderRetryAndLastEventID(t *testing.T) {
	d := sse.NewDecoder(strings.NewReader("retry: 1500\nid: 3\n\nretry: x\nretry: -1\nretry:\ndata: a\n\n"))
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	if d.Retry() != 1500*time.Millisecond || d.LastEventID() != "3" {
		t.Errorf("retry %v, last event ID %q; want 1.5s and 3", d.Retry(), d.LastEventID())
	}
	// Nobody means more than a day.
	for in, want := range map[string]time.Duration{"86400000": 24 * time.Hour, "86400001": 0, "18446744073709551616": 0} {
		d := sse.NewDecoder(strings.NewReader("retry: " + in + "\n\n"))
		_, _ = d.Next()
		if d.Retry() != want {
			t.Errorf("retry: %s is %v, want %v", in, d.Retry(), want)
		}
	}
}

// There is one byte order mark at most. A second one is part of the first line,
// whose field nobody knows then.
func TestDecoderOneByteOrderMark(t *testing.T) {
	const bom = "\uFEFF"
	for in, want := range map[string]string{bom + "data: a\n\n": "a", bom + bom + "data: a\n\ndata: b\n\n": "b", bom + "data: a\n" + bom + "data: b\n\n": "a"} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "by bytes": iotest.OneByteReader(strings.NewReader(in))} {
			if m, err := sse.NewDecoder(r).Next(); err != nil || string(m.Data) != want {
				t.Errorf("%q, %s: got %q, %v; want %q", in, name, m.Data, err, want)
			}
		}
	}
}

// A client that took over the ID of a message that was cut off would resume
// behind it, and never get it.
func TestDecoderLastEventIDOfCutMessage(t *testing.T) {
	const whole = "id: 1\ndata: a\n\nid: 2\n\nid: 3\ndata: b\n\n"
	for cut := range len(whole) + 1 {
		d := sse.NewDecoder(strings.NewReader(whole[:cut]))
		for {
			if _, err := d.Next(); err != nil {
				break
			}
		}
		want := ""
		for _, end := range []struct {
			at int
			id string
		}{{strings.Index(whole, "\n\n") + 2, "1"}, {strings.Index(whole, "id: 3"), "2"}, {len(whole), "3"}} {
			if cut >= end.at {
				want = end.id
			}
		}
		if d.LastEventID() != want {
			t.Errorf("after %q the last event ID is %q, want %q", whole[:cut], d.LastEventID(), want)
		}
	}
}

// An event is complete at the CR that ends it: waiting for a possible LF would
// hold it back until the next event.
func TestDecoderDoesNotWaitBehindCR(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte("data: a\r\r")) }()
	m, err := sse.NewDecoder(r).Next()
	if err != nil || string(m.Data) != "a" {
		t.Fatalf("got %q, %v", m.Data, err)
	}
}

func TestDecoderLimit(t *testing.T) {
	for name, in := range map[string]string{
		"one line":   "data: " + strings.Repeat("x", 9000) + "\n\n",
		"many lines": strings.Repeat("data: xxxxxxxx\n", 1000) + "\n",
		"no line":    strings.Repeat("x", 9000),
	} {
		d := sse.NewDecoder(strings.NewReader(in))
		d.MaxSize = 4096
		if _, err := d.Next(); !errors.Is(err, sse.ErrTooLong) {
			t.Errorf("%s: got %v, want ErrTooLong", name, err)
		}
	}
}

// The limit is the last size that is read.
func TestDecoderAtTheLimit(t *testing.T) {
	for n, want := range map[int]error{9: nil, 10: sse.ErrTooLong} { // two lines of 10 and n bytes, each with its LF
		d := sse.NewDecoder(strings.NewReader("data:" + strings.Repeat("x", 10) + "\ndata:" + strings.Repeat("x", n-1) + "\n\n"))
		d.MaxSize = 20
		if _, err := d.Next(); !errors.Is(err, want) {
			t.Errorf("an event of %d bytes within 20: %v", 11+n, err)
		}
	}
}

// lines is what a client sees of data: every line end is one LF.
func lines(data []byte) string {
	s := string(data)
	if !utf8.ValidString(s) {
		s = ""
		for len(data) > 0 {
			r, size := utf8.DecodeRune(data)
			broken := r == utf8.RuneError && size == 1
			for n := 2; broken && n <= min(3, len(data)); n++ {
				if beginsRune(data[:n]) {
					size = n
				}
			}
			s += string(r)
			data = data[size:]
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// beginsRune reports whether some rune's encoding begins with b and is longer.
func beginsRune(b []byte) bool {
	for tail := byte(0x80); tail <= 0xBF; tail++ {
		for n := 1; n <= 4-len(b); n++ {
			whole := append(bytes.Clone(b), bytes.Repeat([]byte{tail}, n)...)
			if r, size := utf8.DecodeRune(whole); size == len(whole) && r != utf8.RuneError {
				return true
			}
		}
	}
	return false
}

func TestMessageCannotForge(t *testing.T) {
	m := sse.Message{ID: "1\nevent: evil", Event: "a\rdata: evil", Data: []byte("x\nid: 9\r\rdata: y\r\n\nevent: z")}
	got := decodeAll(t, bytes.NewReader(m.AppendTo(nil)))
	want := []block{{"", "message", "x\nid: 9\n\ndata: y\n\nevent: z"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Wherever an event is cut off, a client that takes over an ID as soon as it has
// read the line must not take this one: only the empty line is behind it.
func TestMessageEndsWithItsID(t *testing.T) {
	got := string(sse.Message{ID: "7", Event: "x", Data: []byte("a\nb"), Retry: time.Second}.AppendTo(nil))
	if want := "retry: 1000\nevent: x\ndata: a\ndata: b\nid: 7\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzWire(f *testing.F) {
	f.Add("1-0", "message", []byte("a\nb\r\nc\rd"), uint16(0))
	f.Add("", "", []byte("\x00\xff\uFEFF: id: 3\n\n"), uint16(7))
	f.Add("x\x00", "e\n", []byte{}, uint16(3))
	f.Fuzz(func(t *testing.T, id, event string, data []byte, cut uint16) {
		first := sse.Message{ID: id, Event: event, Data: data, Retry: time.Second}
		if data == nil {
			first.Data = []byte{}
		}
		last := sse.Message{ID: "9-9", Event: "last", Data: []byte("end")}
		wire := last.AppendTo(first.AppendTo(nil))
		if !utf8.Valid(wire) {
			t.Fatalf("the wire is not UTF-8: %q", wire)
		}
		// However the bytes arrive, exactly two events are seen, and the second
		// one is untouched by the first.
		at := min(int(cut), len(wire))
		got := decodeAll(t, io.MultiReader(bytes.NewReader(wire[:at]), bytes.NewReader(wire[at:])))
		if len(got) != 2 || got[1] != (block{"9-9", "last", "end"}) {
			t.Fatalf("got %q from %q", got, wire)
		}
		if got[0].Data != lines(data) {
			t.Errorf("data %q arrived as %q", data, got[0].Data)
		}
		if safe := utf8.ValidString(id) && !strings.ContainsAny(id, "\x00\r\n\v\f\x1c\x1d\x1e\u0085\u2028\u2029"); safe && got[0].ID != id {
			t.Errorf("ID %q arrived as %q", id, got[0].ID)
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("data: a\r\rid: 1\n\n\xEF\xBB\xBFdata: b\n\n"), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		at := min(int(cut), len(in))
		whole := decodeAll(t, bytes.NewReader(in))
		parts := decodeAll(t, io.MultiReader(bytes.NewReader(in[:at]), iotest.OneByteReader(bytes.NewReader(in[at:]))))
		if !reflect.DeepEqual(whole, parts) {
			t.Errorf("at once %q, in parts %q", whole, parts)
		}
	})
}
