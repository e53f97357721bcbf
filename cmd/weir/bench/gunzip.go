package bench

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// A gunzip unpacks one gzip stream (RFC 1952) that is pushed to it. Servers end
// what belongs together with an empty stored block, so that a client can read it
// at once: whenever one has come, what is there is unpacked.
type gunzip struct {
	begun  bool
	packed []byte   // since the last boundary
	recent [][]byte // what was unpacked last, which blocks may refer to
	size   int      // of recent
	refers bool     // they do
	shared *blocks
}

// blocks are what a shard shares to unpack. Where a server compresses an event
// once for all, its blocks are the same on each connection, and are unpacked once
// here too.
type blocks struct {
	plain map[string][]byte // of packed blocks that refer to nothing before them
	r     io.ReadCloser     // a flate.Resetter
}

const (
	maxWindow = 32 << 10 // how far back a block can refer
	maxBlocks = 256
)

// boundary is the end of an empty stored block.
var boundary = []byte{0, 0, 0xff, 0xff}

// feed takes the next bytes, and returns those that can be read by now.
func (g *gunzip) feed(b []byte) ([]byte, error) {
	if len(g.packed) > 0 || !bytes.HasSuffix(b, boundary) {
		if len(g.packed)+len(b) > maxLine {
			return nil, fmt.Errorf("gzip: %d bytes came that cannot be read by themselves", maxLine)
		}
		g.packed = append(g.packed, b...)
		b = g.packed
	}
	if !bytes.HasSuffix(b, boundary) {
		return nil, nil
	}
	g.packed = g.packed[:0]
	plain, err := g.unpack(b)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	g.recent = append(g.recent, plain)
	g.size += len(plain)
	for g.size-len(g.recent[0]) >= maxWindow {
		g.size -= len(g.recent[0])
		g.recent = g.recent[1:]
	}
	return plain, nil
}

// end returns what came last, without a boundary: a stream may end by its last
// block.
func (g *gunzip) end() []byte {
	if len(g.packed) == 0 {
		return nil
	}
	plain, _ := g.unpack(g.packed) // of what was cut off, what can be read
	g.packed = g.packed[:0]
	return plain
}

func (g *gunzip) unpack(b []byte) ([]byte, error) {
	s := g.shared
	if !g.begun {
		g.begun = true
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return readAll(z)
	}
	if !g.refers {
		if plain, ok := s.plain[string(b)]; ok {
			return plain, nil
		}
		plain, err := s.inflate(b, nil)
		if err == nil {
			if len(s.plain) == maxBlocks {
				clear(s.plain)
			}
			s.plain[string(b)] = plain
			return plain, nil
		}
		g.refers = true
	}
	return s.inflate(b, bytes.Join(g.recent, nil)) // of which the last 32 kB count
}

func (s *blocks) inflate(b, window []byte) ([]byte, error) {
	if s.r == nil {
		s.r = flate.NewReader(nil)
		s.plain = make(map[string][]byte)
	}
	if err := s.r.(flate.Resetter).Reset(bytes.NewReader(b), window); err != nil {
		return nil, err
	}
	return readAll(s.r)
}

// readAll reads to the end of the blocks that there are: more may come.
func readAll(r io.Reader) ([]byte, error) {
	plain, err := io.ReadAll(r)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return plain, err
}
