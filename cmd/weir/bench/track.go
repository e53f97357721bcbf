package bench

// A verdict says what an event was to the connection that it came on.
type verdict uint8

const (
	inOrder  verdict = iota
	ahead            // events before it have not come: they are missing
	late             // it was missing, and has come out of order
	repeated         // it had come before
)

// maxHoles bounds what a connection remembers of what it misses. What is
// forgotten stays counted as lost.
const maxHoles = 64

// A tracker checks the numbers of the events of one connection. They are to
// come each once and in order, across reconnects too.
type tracker struct {
	begun bool
	first int64
	next  int64  // the number to come
	holes []span // missing, in order
	lost  int64  // missing in all
}

// A span is a run of numbers: from..to-1.
type span struct{ from, to int64 }

// begin makes everything from seq on expected.
func (t *tracker) begin(seq int64) {
	*t = tracker{begun: true, first: seq, next: seq, holes: t.holes[:0]}
}

// see takes note of an event. A tracker that has not begun begins with it.
func (t *tracker) see(seq int64) verdict {
	if seq == t.next && t.begun {
		t.next++
		return inOrder
	}
	if !t.begun {
		t.begin(seq + 1)
		t.first = seq
		return inOrder
	}
	if seq > t.next {
		if len(t.holes) == maxHoles {
			copy(t.holes, t.holes[1:])
			t.holes = t.holes[:maxHoles-1]
		}
		t.holes = append(t.holes, span{t.next, seq})
		t.lost += seq - t.next
		t.next = seq + 1
		return ahead
	}
	for i, h := range t.holes {
		if seq < h.from || seq >= h.to {
			continue
		}
		t.lost--
		switch {
		case h.to-h.from == 1:
			t.holes = append(t.holes[:i], t.holes[i+1:]...)
		case seq == h.from:
			t.holes[i].from++
		case seq == h.to-1:
			t.holes[i].to--
		case len(t.holes) == maxHoles: // no room to split: forget the shorter half
			if seq-h.from < h.to-seq {
				t.holes[i].from = seq + 1
			} else {
				t.holes[i].to = seq
			}
		default:
			t.holes = append(t.holes, span{})
			copy(t.holes[i+2:], t.holes[i+1:])
			t.holes[i], t.holes[i+1] = span{h.from, seq}, span{seq + 1, h.to}
		}
		return late
	}
	return repeated
}

// finish says how many events were expected and how many of them never came,
// when limit numbers have been published.
func (t *tracker) finish(limit int64) (expected, lost int64) {
	if !t.begun {
		return 0, 0
	}
	return max(limit, t.next) - t.first, t.lost + max(limit-t.next, 0)
}
