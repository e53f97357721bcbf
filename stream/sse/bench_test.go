package sse_test

import (
	"strings"
	"testing"

	"weir/stream/sse"
)

var benchMessage = sse.Message{ID: "1763834025123-0", Data: []byte(`{"t":1763834025123456789,"pad":"` + strings.Repeat("x", 165) + `"}`)}

func BenchmarkMessage(b *testing.B) {
	for name, m := range map[string]sse.Message{
		"line":  benchMessage,
		"lines": {ID: benchMessage.ID, Data: []byte(strings.Repeat("<div class=\"reading\">21.5 °C</div>\n", 10))},
	} {
		b.Run(name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(m.AppendTo(nil))))
			for b.Loop() {
				buf = m.AppendTo(buf[:0])
			}
		})
	}
}

// A repeater is a stream that never ends.
type repeater struct {
	block []byte
	at    int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.block[r.at:])
		n += k
		r.at = (r.at + k) % len(r.block)
	}
	return n, nil
}

func BenchmarkDecoder(b *testing.B) {
	block := benchMessage.AppendTo(nil)
	d := sse.NewDecoder(&repeater{block: block})
	b.ReportAllocs()
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := d.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
