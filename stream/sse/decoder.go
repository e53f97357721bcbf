package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// ErrTooLong is what a [Decoder] returns for an event larger than its limit.
var ErrTooLong = errors.New("event is longer than the decoder's limit")

// A Decoder reads messages from a text/event-stream, to the parsing rules of
// WHATWG HTML, section 9.2.6. One goroutine may use it at a time. What is no
// valid UTF-8 becomes U+FFFD, one for each broken sequence, as in a browser.
type Decoder struct {
	// MaxSize limits the bytes of one line and of one event. Default: 4 MiB.
	MaxSize int

	r      io.Reader
	buf    []byte
	start  int // of what has not been parsed yet in buf
	end    int
	err    error
	begun  bool // the byte order mark has been looked for
	skipLF bool // the line before ended in CR: an LF now belongs to it

	nextID   string // becomes lastID at the end of the message that is being read
	lastID   string
	retry    time.Duration
	hasRetry bool // the stream has set retry, which may be 0
	data     []byte
}

// NewDecoder returns a Decoder that reads from r.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{r: r} }

// SetLastEventID makes id the last event ID. A client that comes back calls it
// before the first [Decoder.Next]: messages without an ID of their own have the
// one that was the last on the stream before.
func (d *Decoder) SetLastEventID(id string) { d.nextID, d.lastID = id, id }

// LastEventID returns what a client would send as Last-Event-ID now. The ID of
// a message counts from its closing empty line on: of one that is cut off, the
// server must send it all again.
func (d *Decoder) LastEventID() string { return d.lastID }

// Retry returns the reconnection time that the server asked for last, or 0.
func (d *Decoder) Retry() time.Duration { return d.retry }

// Next returns the next message that a client would dispatch. Its ID is the
// last event ID at that time, and its SetsID tells whether the message itself
// set it. Its Event is "message" where the stream names none. Its Data is valid
// until the next call. At the end of the stream the error is io.EOF, and a
// message without its closing empty line is dropped, as the specification wants
// it.
func (d *Decoder) Next() (Message, error) {
	limit := d.MaxSize
	if limit <= 0 {
		limit = 4 << 20
	}
	d.data = d.data[:0]
	var name string
	seen, setsID := false, false
	for {
		line, err := d.line(limit)
		if err != nil {
			return Message{}, err
		}
		if len(line) == 0 {
			d.lastID = d.nextID
			if !seen {
				name, setsID = "", false
				continue
			}
			if name == "" {
				name = "message"
			}
			data := validUTF8(d.data[:len(d.data)-1]) // without the LF of the last line
			return Message{ID: d.lastID, SetsID: setsID, Event: name, Data: data}, nil
		}
		field, value, colon := bytes.Cut(line, []byte{':'})
		if colon {
			value = bytes.TrimPrefix(value, []byte{' '})
		}
		switch string(field) {
		case "data":
			if len(d.data)+len(value)+1 > limit {
				return Message{}, fmt.Errorf("%w of %d bytes", ErrTooLong, limit)
			}
			d.data = append(append(d.data, value...), '\n')
			seen = true
		case "event":
			name = string(validUTF8(value))
		case "id":
			if bytes.IndexByte(value, 0) >= 0 {
				continue // ignored, as the specification wants it
			}
			if setsID = true; d.nextID != string(value) {
				d.nextID = string(validUTF8(value))
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 64); err == nil && ms <= uint64(24*time.Hour/time.Millisecond) && allDigits(value) {
				d.retry, d.hasRetry = time.Duration(ms)*time.Millisecond, true
			}
		}
	}
}

// line returns the next line without its end. It does not wait for the byte
// after a CR: a server may send that one much later.
func (d *Decoder) line(limit int) ([]byte, error) {
	scanned := d.start
	for {
		if d.skipLF && d.start < d.end {
			if d.buf[d.start] == '\n' {
				d.start++
			}
			d.skipLF = false
			scanned = max(scanned, d.start)
		}
		if !d.begun && d.end-d.start >= 3 {
			if bytes.HasPrefix(d.buf[d.start:d.end], []byte("\uFEFF")) {
				d.start += 3
			}
			d.begun = true
			scanned = d.start
		}
		if i := lineEnd(d.buf[scanned:d.end]); i >= 0 && (d.begun || d.buf[d.start] != 0xEF) {
			d.begun = true
			line := d.buf[d.start : scanned+i]
			d.skipLF = d.buf[scanned+i] == '\r'
			d.start = scanned + i + 1
			return line, nil
		}
		if d.begun {
			scanned = d.end
		}
		if d.err != nil {
			return nil, d.err
		}
		if d.end-d.start > limit {
			return nil, fmt.Errorf("%w of %d bytes", ErrTooLong, limit)
		}
		scanned -= d.fill()
	}
}

func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// fill reads more into the buffer and returns by how much it moved what was
// there to the front.
func (d *Decoder) fill() (moved int) {
	if d.start > 0 {
		moved = d.start
		copy(d.buf, d.buf[d.start:d.end])
		d.start, d.end = 0, d.end-d.start
	}
	if d.end == len(d.buf) {
		d.buf = append(d.buf, make([]byte, max(4096, len(d.buf)))...)
	}
	for range 100 { // as bufio: a reader that returns nothing for ever is broken
		n, err := d.r.Read(d.buf[d.end:])
		d.end += n
		if err != nil {
			d.err = err
			return moved
		}
		if n > 0 {
			return moved
		}
	}
	d.err = io.ErrNoProgress
	return moved
}

// allDigits reports whether b has nothing but ASCII digits: strconv alone would
// take a sign, too.
func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
