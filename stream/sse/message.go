package sse

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Message is one block of the text/event-stream format (WHATWG HTML, section
// 9.2): what a server writes and a [Decoder] reads.
type Message struct {
	// ID is the last event ID. Left out when empty, unless SetsID is true.
	ID string
	// SetsID tells, of a message that was read, whether the message has an ID of
	// its own: without one, ID is that of an earlier message. In a message that
	// is written it makes a difference for an empty ID only: "id:" alone makes
	// clients forget theirs.
	SetsID bool
	// Event is the event name; a client takes an empty one for "message".
	Event string
	// Data is the payload, without a final line end. A nil Data makes a block
	// that dispatches no event, such as one that only sets Retry.
	Data []byte
	// Retry asks the client to wait that long before it comes back. Whole
	// milliseconds; left out when zero.
	Retry time.Duration
}

// AppendTo appends the message as it stands on the wire, with the empty line
// that ends it. No payload can forge a field: CR, LF and CRLF each end a line
// of data, each broken sequence of UTF-8 becomes U+FFFD. An ID or an event name
// that has a line end or a NUL cannot be carried and is left out; so is one
// with a character at which some clients, against the specification, split
// lines, such as U+2028.
//
// In Data such a character stays: it is a character like any other to whoever
// keeps to the specification, and there is no other way to write it in plain
// text. In JSON there is one, so whoever makes JSON for Data writes \u2028.
func (m Message) AppendTo(dst []byte) []byte {
	if m.Retry > 0 {
		dst = append(dst, "retry: "...)
		dst = strconv.AppendInt(dst, m.Retry.Milliseconds(), 10)
		dst = append(dst, '\n')
	}
	if m.Event != "" && fieldSafe(m.Event) {
		dst = append(dst, "event: "...)
		dst = append(dst, m.Event...)
		dst = append(dst, '\n')
	}
	if m.Data != nil {
		dst = appendData(dst, m.Data)
	}
	// The ID comes last: some clients take it over as soon as they have read the
	// line, so that an event that is cut off after it would not come again.
	if m.ID != "" && fieldSafe(m.ID) {
		dst = append(dst, "id: "...)
		dst = append(dst, m.ID...)
		dst = append(dst, '\n')
	} else if m.ID == "" && m.SetsID {
		dst = append(dst, "id:\n"...)
	}
	return append(dst, '\n')
}

// splitting is where clients split lines: CR and LF by the specification, and
// all the others in Python's str.splitlines, by which several clients read.
const splitting = "\r\n\v\f\x1c\x1d\x1e\u0085\u2028\u2029"

func fieldSafe(s string) bool {
	return !strings.ContainsAny(s, "\x00"+splitting) && utf8.ValidString(s)
}

// appendData writes the data field, one for each line of data.
func appendData(dst, data []byte) []byte {
	data = validUTF8(data)
	for {
		dst = append(dst, "data: "...)
		end := bytes.IndexAny(data, "\r\n")
		if end < 0 {
			dst = append(dst, data...)
			return append(dst, '\n')
		}
		dst = append(dst, data[:end]...)
		dst = append(dst, '\n')
		if data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n' {
			end++
		}
		data = data[end+1:]
	}
}
