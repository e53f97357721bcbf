package fanout

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"io"
	"testing"
)

// A stream of blocks, for all or for one connection, is a gzip stream, whatever
// their sizes: those around what one stored block holds among them.
func TestGzipOfAnySize(t *testing.T) {
	var g Gzip
	var stream, want []byte
	for i, n := range []int{1, 0, 100, maxStored - 1, maxStored, maxStored + 1, 3*maxStored + 7, 2} {
		p := make([]byte, n)
		_, _ = rand.Read(p)
		if i%2 == 0 {
			p = bytes.Repeat([]byte("data: 1\n"), n)
		}
		stream = append(stream, g.Encode(p)...)
		g.Add(p)
		stream = append(stream, deflate(p)...)
		want = append(append(want, p...), p...)
	}
	stream = append(stream, g.End()...)
	r, err := gzip.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes became %d: %v", len(want), len(got), err)
	}
}
