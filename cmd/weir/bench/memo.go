package bench

import "bytes"

// A memo is what a parser made of the whole events that it was given last. The
// clients of a shard share one: where a server writes the same bytes to all of
// them, comparing them takes the place of parsing them again.
type memo struct {
	text  []byte
	marks []mark
	id    []byte // the last event ID, if the events have any
	hasID bool
}

// recall gives the events to the parser's sink, if these are the bytes.
func (m *memo) recall(b []byte, p *sseParser) bool {
	if len(b) == 0 || !bytes.Equal(b, m.text) {
		return false
	}
	for _, k := range m.marks {
		p.out.event(k)
	}
	if m.hasID {
		p.id = append(p.id[:0], m.id...)
	}
	return true
}

// begin forgets what there was: events follow.
func (m *memo) begin() {
	m.text, m.marks, m.hasID = m.text[:0], m.marks[:0], false
}

// end notes whose events they were.
func (m *memo) end(b []byte, p *sseParser) {
	m.text = append(m.text, b...)
	m.id = append(m.id[:0], p.id...)
}
