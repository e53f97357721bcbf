package bench

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Streams of both kinds, in pieces that end anywhere: compressed as a whole, so
// that blocks refer to what came before, and of blocks that stand for themselves.
func TestGunzip(t *testing.T) {
	var events [][]byte
	for i := range 300 {
		events = append(events, fmt.Appendf(nil, "id: %d\ndata: {\"reading\":%q,\"n\":%d}\n\n", i, bytes.Repeat([]byte("abc"), rand.IntN(500)), rand.Int()))
	}
	whole := func(out *bytes.Buffer) (write func([]byte)) {
		z := gzip.NewWriter(out)
		n := 0
		return func(p []byte) {
			_, _ = z.Write(p) // to memory: cannot fail
			if n++; n < len(events) {
				_ = z.Flush()
			} else {
				_ = z.Close() // the last event is in the last block
			}
		}
	}
	apart := func(out *bytes.Buffer) (write func([]byte)) {
		out.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
		return func(p []byte) {
			z, _ := flate.NewWriter(out, flate.DefaultCompression) // the level is good
			_, _ = z.Write(p)
			_ = z.Flush()
		}
	}
	for name, kind := range map[string]func(*bytes.Buffer) func([]byte){"whole": whole, "apart": apart} {
		t.Run(name, func(t *testing.T) {
			var packed bytes.Buffer
			write := kind(&packed)
			for _, e := range events {
				write(e)
			}
			shared := new(blocks)
			for range 3 { // connections
				g := gunzip{shared: shared}
				var got []byte
				for rest := packed.Bytes(); len(rest) > 0; {
					n := min(1+rand.IntN(700), len(rest))
					plain, err := g.feed(rest[:n])
					if err != nil {
						t.Fatal(err)
					}
					got, rest = append(got, plain...), rest[n:]
				}
				got = append(got, g.end()...)
				if !bytes.Equal(got, bytes.Join(events, nil)) {
					t.Fatalf("%d bytes came out of %d, or others", len(got), len(bytes.Join(events, nil)))
				}
			}
		})
	}
	g := gunzip{shared: new(blocks)}
	if _, err := g.feed(append([]byte("no gzip at all"), boundary...)); err == nil {
		t.Error("what is no gzip is taken for it")
	}
}
