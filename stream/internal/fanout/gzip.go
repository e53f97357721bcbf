package fanout

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"sync"
)

// Shared compression. A gzip stream (RFC 1952) is a header, deflate blocks
// (RFC 1951) and a checksum. Blocks that refer to nothing before them and end
// on a byte boundary can stand anywhere, so an entry is compressed once, and
// every connection's stream is made of the same blocks. A connection costs a
// checksum and a length.

var (
	gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	// flushBlock is an empty stored block: it makes a reader hand on what it has.
	flushBlock = []byte{0, 0, 0, 0xff, 0xff}
	finalBlock = []byte{1, 0, 0, 0xff, 0xff}
)

// maxStored is what one stored block holds.
const maxStored = 1<<16 - 1

var deflaters = sync.Pool{New: func() any {
	// The default level compresses the markup of an event by a third better
	// than the fastest one, and it is done once for all connections.
	w, _ := flate.NewWriter(nil, flate.DefaultCompression) // fails only for a bad level
	return w
}}

// deflate returns p as blocks that stand for themselves.
func deflate(p []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var b bytes.Buffer
	w.Reset(&b)
	_, _ = w.Write(p) // to memory: cannot fail
	_ = w.Flush()
	return b.Bytes()
}

// store appends p as stored blocks, for what is not worth compressing: it goes to
// one connection alone.
func store(dst, p []byte) []byte {
	for len(p) > 0 {
		n := min(len(p), maxStored)
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, p[:n]...)
		p = p[n:]
	}
	return append(dst, flushBlock...)
}

// A Gzip is the gzip stream of one connection: the checksum and the length that
// its end needs.
type Gzip struct {
	begun bool
	crc   uint32
	size  uint32
}

// Add counts p in, which goes out as blocks.
func (g *Gzip) Add(p []byte) {
	g.crc = crc32.Update(g.crc, crc32.IEEETable, p)
	g.size += uint32(len(p))
}

// Encode returns p, which is for this connection alone, as it goes out, and
// counts it in.
func (g *Gzip) Encode(p []byte) []byte {
	var out []byte
	if !g.begun {
		g.begun = true
		out = append(out, gzipHead...)
	}
	g.Add(p)
	return store(out, p)
}

// End returns the end of the stream.
func (g *Gzip) End() []byte {
	out := append([]byte(nil), finalBlock...)
	out = binary.LittleEndian.AppendUint32(out, g.crc)
	return binary.LittleEndian.AppendUint32(out, g.size)
}
