package sse_test

import (
	"bytes"
	"strings"
	"testing"

	"weir/stream/sse"
)

// The numbers of replacements are those of web-platform-tests
// (encoding/textdecoder-utf16-surrogates, utf-8 mistakes; eventsource/format-utf-8)
// and of table 3-8 to 3-11 of the Unicode Standard.
func TestBrokenUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"\xFF":                              "?",
		"\xC0":                              "?",
		"\xC0\x00":                          "?\x00",
		"\xC0\xC0":                          "??",
		"\xC0\x80":                          "??",
		"\xE0":                              "?",
		"\xE0\x00":                          "?\x00",
		"\xE0\xC0":                          "??",
		"\xE0\x80":                          "??",
		"\xE0\x80\x00":                      "??\x00",
		"\xE0\x80\x80":                      "???",
		"\xED\xA0\x80":                      "???", // a surrogate
		"\xF0\x80\x80\x80":                  "????",
		"\xF4\x90\x80\x80":                  "????", // beyond U+10FFFF
		"\xFC\x80\x80\x80\x80\x80":          "??????",
		"\xE2\x82":                          "?", // the beginning of a valid one counts as one
		"\xE2\x82A":                         "?A",
		"\xE2\x82\xE2\x82\xAC":              "?€",
		"\xF0\x9F\x98":                      "?",
		"\xF0\x9F\x98x":                     "?x",
		"\xF0\x9F\xF0\x9F\x98\x80":          "?😀",
		"\xC3":                              "?",
		"ok\xFE\xFDok":                      "ok??ok",
		"\xE1\x80\xE2\xF0\x91\x92\xF1\xBFA": "????A",
		"\xF0\x90\x80\xC2":                  "??",
		"já €😀\uFFFD":                       "já €😀\uFFFD",
	} {
		want = strings.ReplaceAll(want, "?", "\uFFFD")
		d := sse.NewDecoder(strings.NewReader("data: " + in + "\nevent: " + in + "\n\n"))
		m, err := d.Next()
		if err != nil || string(m.Data) != want || m.Event != want {
			t.Errorf("%q is read as %q, event %q, %v; want %q", in, m.Data, m.Event, err, want)
		}
		wire := sse.Message{Data: []byte(in)}.AppendTo(nil)
		if got := string(bytes.TrimPrefix(wire, []byte("data: "))); got != want+"\n\n" {
			t.Errorf("%q is written as %q, want %q", in, got, want+"\n\n")
		}
	}
}

// Nobody is misled by an ID or a name that a client would split: Python's
// str.splitlines, for one, ends a line at any of these.
func TestFieldsCannotBeSplit(t *testing.T) {
	for _, c := range "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029" {
		text := "a" + string(c) + "id: 9"
		if got := string(sse.Message{ID: text, Event: text, Data: []byte("x")}.AppendTo(nil)); got != "data: x\n\n" {
			t.Errorf("%q is on the wire as %q", text, got)
		}
	}
	// To the specification U+2028 is a character like any other.
	got := decodeAll(t, bytes.NewReader(sse.Message{Data: []byte("a\u2028b\u0085c\vd")}.AppendTo(nil)))
	if len(got) != 1 || got[0].Data != "a\u2028b\u0085c\vd" {
		t.Errorf("got %q", got)
	}
}

func TestEmptyIDIsToldFromNone(t *testing.T) {
	d := sse.NewDecoder(strings.NewReader("data: a\n\nid: 7\ndata: b\n\nid:\ndata: c\n\nid: 8\n\ndata: d\n\nid: 9\x00\ndata: e\n\n"))
	d.SetLastEventID("5")
	if d.LastEventID() != "5" {
		t.Errorf("it begins with %q", d.LastEventID())
	}
	var again []byte
	for _, want := range []struct {
		id   string
		sets bool
	}{{"5", false}, {"7", true}, {"", true}, {"8", false}, {"8", false}} {
		m, err := d.Next()
		if err != nil || m.ID != want.id || m.SetsID != want.sets {
			t.Errorf("%q: ID %q, set by itself %v, %v; want %v", m.Data, m.ID, m.SetsID, err, want)
		}
		again = m.AppendTo(again)
	}
	// What was read can be written again.
	if got, want := string(again), "event: message\ndata: a\nid: 5\n\nevent: message\ndata: b\nid: 7\n\nevent: message\ndata: c\nid:\n\n"; !strings.HasPrefix(got, want) {
		t.Errorf("written again it is %q", got)
	}
}
