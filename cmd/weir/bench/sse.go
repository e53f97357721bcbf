package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"weir/stream/sse"
)

// The parsers here are pushed to: a reader hands over what came off the
// socket, split anywhere, and nothing is copied but a line or a head whose end
// has not come yet. A load generator must cost less than the server that it
// measures, so the JSON of an event is never decoded: the two numbers that
// matter are looked for where they were in the event before.

// maxLine bounds a line of the stream, and a response head.
const maxLine = 4 << 20

// A mark is what the publisher wrote into an event: when it was to be sent, in
// nanoseconds, and its number. An event of somebody else has none.
type mark struct {
	sent, seq int64
	ok        bool
}

// A sink takes what the parser finds. The slices are valid during the call.
type sink interface {
	event(m mark)
	control(name, data []byte)
}

// controls are the names of events that servers send on their own account.
// Other names are a server's way to type its events.
var controls = [...]string{sse.EventConnected, sse.EventPing, sse.EventGap, sse.EventClose, sse.EventStreamError}

// An sseParser reads text/event-stream (WHATWG HTML, section 9.2.6), but for a
// lone CR as the end of a line, which no server is known to send.
type sseParser struct {
	out   sink
	memo  *memo  // nil: everything is parsed
	noted bool   // what is being parsed can be put into the memo: nothing but events
	carry []byte // a line whose end has not come yet

	name    []byte
	data    []byte // of a control event alone
	control bool
	seen    bool // a data field
	mark    mark
	form    int // how the marks were written last, and where in their line
	at      int

	id      []byte // the last event ID as the client would send it
	pending []byte // the one of the event that is being read
	hasID   bool
	retry   time.Duration
	err     error
}

// feed takes the next bytes of the stream.
func (p *sseParser) feed(b []byte) {
	switch {
	case p.memo == nil || !p.between():
		p.parse(b)
	case !p.memo.recall(b, p):
		p.memo.begin()
		p.noted = true
		p.parse(b)
		if p.noted && p.between() {
			p.memo.end(b, p)
		}
		p.noted = false
	}
}

// between reports whether the parser stands between two blocks.
func (p *sseParser) between() bool {
	return len(p.carry) == 0 && !p.seen && !p.hasID && len(p.name) == 0
}

func (p *sseParser) parse(b []byte) {
	if len(p.carry) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			p.keep(b)
			return
		}
		p.carry = append(p.carry, b[:i]...)
		p.line(p.carry)
		p.carry = p.carry[:0]
		if cap(p.carry) > 64<<10 {
			p.carry = nil
		}
		b = b[i+1:]
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			p.keep(b)
			return
		}
		p.line(b[:i])
		b = b[i+1:]
	}
}

func (p *sseParser) keep(b []byte) {
	if len(p.carry)+len(b) > maxLine {
		p.err = fmt.Errorf("a line of the stream is longer than %d bytes", maxLine)
		p.carry = p.carry[:0]
		return
	}
	p.carry = append(p.carry, b...)
}

// reset makes the parser ready for a new connection of the same client.
func (p *sseParser) reset() {
	p.carry, p.name, p.data = p.carry[:0], p.name[:0], p.data[:0]
	p.control, p.seen, p.hasID, p.mark, p.err = false, false, false, mark{}, nil
}

func (p *sseParser) line(l []byte) {
	if n := len(l); n > 0 && l[n-1] == '\r' {
		l = l[:n-1]
	}
	if len(l) == 0 {
		p.dispatch()
		return
	}
	switch l[0] {
	case 'd':
		if len(l) >= 5 && string(l[:5]) == "data:" {
			p.seen = true
			if p.control {
				p.data = append(p.data, value(l[5:])...)
			} else if !p.mark.ok {
				p.scan(l)
			}
		}
	case 'i':
		if len(l) >= 3 && string(l[:3]) == "id:" {
			p.pending = append(p.pending[:0], value(l[3:])...)
			p.hasID = true
		}
	case 'e':
		if len(l) >= 6 && string(l[:6]) == "event:" {
			p.name = append(p.name[:0], value(l[6:])...)
			p.control = isControl(p.name)
		}
	case 'r':
		if len(l) >= 6 && string(l[:6]) == "retry:" {
			if ms, err := strconv.ParseUint(string(value(l[6:])), 10, 31); err == nil {
				p.retry = time.Duration(ms) * time.Millisecond
				p.noted = false
			}
		}
	}
}

func value(b []byte) []byte {
	if len(b) > 0 && b[0] == ' ' {
		return b[1:]
	}
	return b
}

func isControl(name []byte) bool {
	for _, c := range controls {
		if string(name) == c {
			return true
		}
	}
	return false
}

func (p *sseParser) dispatch() {
	if p.hasID {
		p.id, p.pending, p.hasID = p.pending, p.id, false
		if p.noted {
			p.memo.hasID = true
		}
	}
	if p.seen {
		if p.control {
			p.out.control(p.name, p.data)
			p.data = p.data[:0]
			p.noted = false
		} else {
			p.out.event(p.mark)
			if p.noted {
				p.memo.marks = append(p.memo.marks, p.mark)
			}
		}
		p.seen, p.mark = false, mark{}
	}
	if len(p.name) > 0 {
		p.name, p.control = p.name[:0], false
	}
}

// forms are the ways in which the publisher's members can come back: as JSON,
// inside a JSON string, escaped for HTML in two manners, and as plain text.
var forms = [...]struct{ sent, seq []byte }{
	{[]byte(`"t":`), []byte(`"n":`)},
	{[]byte(`\"t\":`), []byte(`\"n\":`)},
	{[]byte(`&#34;t&#34;:`), []byte(`&#34;n&#34;:`)},
	{[]byte(`&quot;t&quot;:`), []byte(`&quot;n&quot;:`)},
	{[]byte(`bench-t=`), []byte(`bench-n=`)},
}

// scan looks for the mark in a line of data: first where it was last time, for
// the events of one run are alike.
func (p *sseParser) scan(l []byte) {
	f := &forms[p.form]
	at := p.at
	if len(l) < at+len(f.sent) || string(l[at:at+len(f.sent)]) != string(f.sent) {
		at = -1
		for i := range forms {
			if at = bytes.Index(l, forms[i].sent); at >= 0 {
				p.form, p.at, f = i, at, &forms[i]
				break
			}
		}
		if at < 0 {
			return
		}
	}
	rest := l[at+len(f.sent):]
	sent, n := number(rest)
	if n == 0 {
		return
	}
	rest = rest[n:]
	if len(rest) > 1+len(f.seq) && rest[0] == ',' && string(rest[1:1+len(f.seq)]) == string(f.seq) {
		rest = rest[1+len(f.seq):]
	} else if i := bytes.Index(l, f.seq); i >= 0 { // written in another order
		rest = l[i+len(f.seq):]
	} else {
		return
	}
	seq, n := number(rest)
	if n == 0 {
		return
	}
	p.mark = mark{sent: sent, seq: seq, ok: true}
}

// number reads a decimal number of at most 19 digits, behind spaces that a
// server may have put in, and returns how many bytes it took; 0 for none.
func number(b []byte) (v int64, n int) {
	for n < len(b) && b[n] == ' ' {
		n++
	}
	from := n
	for len(b)-n >= 8 && n-from <= 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		if w&0xF0F0F0F0F0F0F0F0 != 0x3030303030303030 || (w+0x0606060606060606)&0xF0F0F0F0F0F0F0F0 != 0x3030303030303030 {
			break
		}
		v = v*1e8 + eight(w)
		n += 8
	}
	for n < len(b) && b[n]-'0' <= 9 {
		if n-from == 19 {
			return 0, 0
		}
		v = v*10 + int64(b[n]-'0')
		n++
	}
	if n == from || v < 0 {
		return 0, 0
	}
	return v, n
}

// eight returns the value of eight decimal digits, the first in the lowest
// byte. Neighbours are joined three times: digits to pairs, pairs to fours,
// fours to the whole.
func eight(w uint64) int64 {
	w = (w & 0x0F0F0F0F0F0F0F0F) * (10<<8 + 1) >> 8
	w = (w & 0x00FF00FF00FF00FF) * (100<<16 + 1) >> 16
	w = (w & 0x0000FFFF0000FFFF) * (10000<<32 + 1) >> 32
	return int64(w)
}

// An httpParser reads one HTTP/1.1 response (RFC 9112) and hands its body on.
type httpParser struct {
	state  httpState
	head   []byte
	size   int64 // left of the chunk, or of a body with a length
	digits int   // of the chunk size that is being read
	ext    bool  // behind the digits: an extension, or the CR

	status     int
	gzip       bool
	retryAfter time.Duration
	problem    []byte // the beginning of a body that is no stream
}

// A feeder takes the bytes of a body.
type feeder interface{ feed(b []byte) }

type httpState uint8

const (
	inHead      httpState = iota
	inChunkSize           // chunked: before a chunk's data
	inChunk
	inChunkEnd // the CRLF behind a chunk's data
	inLength   // a body with Content-Length
	inRest     // a body that lasts as long as the connection
	atEnd
)

func (h *httpParser) reset() { *h = httpParser{head: h.head[:0]} }

var errHead = errors.New("the answer is not HTTP/1.1")

// feed parses the next bytes of the response. Body bytes go to stream when the
// status is 200. At the end of the response, state is atEnd.
func (h *httpParser) feed(b []byte, stream feeder) error {
	for len(b) > 0 {
		switch h.state {
		case inHead:
			rest, err := h.readHead(b)
			if err != nil {
				return err
			}
			b = rest
		case inChunkSize:
			c := b[0]
			b = b[1:]
			switch {
			case c == '\n':
				if h.digits == 0 {
					return errors.New("bad chunk size in the answer")
				}
				h.state, h.digits, h.ext = inChunk, 0, false
				if h.size == 0 {
					h.state = atEnd // trailers are nobody's concern here
				}
			case h.ext || c == '\r' || c == ';':
				h.ext = true
			default:
				d, ok := hexDigit(c)
				if !ok || h.digits > 14 {
					return errors.New("bad chunk size in the answer")
				}
				h.size = h.size<<4 | int64(d)
				h.digits++
			}
		case inChunk:
			n := int(min(int64(len(b)), h.size))
			h.body(b[:n], stream)
			b = b[n:]
			if h.size -= int64(n); h.size == 0 {
				h.state = inChunkEnd
			}
		case inChunkEnd:
			if b[0] == '\n' {
				h.state = inChunkSize
			} else if b[0] != '\r' {
				return errors.New("a chunk of the answer has not the length that it states")
			}
			b = b[1:]
		case inLength:
			n := int(min(int64(len(b)), h.size))
			h.body(b[:n], stream)
			b = b[n:]
			if h.size -= int64(n); h.size == 0 {
				h.state = atEnd
			}
		case inRest:
			h.body(b, stream)
			return nil
		case atEnd:
			return nil
		}
	}
	return nil
}

func (h *httpParser) body(b []byte, stream feeder) {
	if h.status == 200 {
		stream.feed(b)
	} else if room := 512 - len(h.problem); room > 0 {
		h.problem = append(h.problem, b[:min(room, len(b))]...)
	}
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// readHead collects the head and returns what follows it.
func (h *httpParser) readHead(b []byte) ([]byte, error) {
	old := len(h.head)
	h.head = append(h.head, b...)
	end := bytes.Index(h.head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(h.head) > 64<<10 {
			return nil, errHead
		}
		return nil, nil
	}
	rest := b[end+4-old:]
	lines := bytes.Split(h.head[:end], []byte("\r\n"))
	if len(lines[0]) < 12 || string(lines[0][:7]) != "HTTP/1." {
		return nil, errHead
	}
	status, err := strconv.Atoi(string(lines[0][9:12]))
	if err != nil {
		return nil, errHead
	}
	h.head = h.head[:0]
	if status >= 100 && status < 200 {
		return rest, nil // an interim answer: the final one follows
	}
	h.status, h.state = status, inRest
	for _, l := range lines[1:] {
		name, v, _ := bytes.Cut(l, []byte{':'})
		v = bytes.TrimSpace(v)
		switch string(bytes.ToLower(name)) {
		case "transfer-encoding":
			if bytes.EqualFold(v, []byte("chunked")) {
				h.state = inChunkSize
			}
		case "content-length":
			if h.state == inRest {
				if h.size, err = strconv.ParseInt(string(v), 10, 64); err != nil || h.size < 0 {
					return nil, errHead
				}
				h.state = inLength
			}
		case "content-encoding":
			h.gzip = bytes.EqualFold(v, []byte("gzip"))
		case "retry-after":
			if s, err := strconv.Atoi(string(v)); err == nil && s >= 0 && s < 3600 {
				h.retryAfter = time.Duration(s) * time.Second
			}
		}
	}
	if status == 204 || h.state == inLength && h.size == 0 {
		h.state = atEnd
	}
	return rest, nil
}
