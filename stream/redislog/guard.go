package redislog

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Limits of an answer. Redis's own answers stay far below them: events are
// bounded, and read in pages.
const (
	maxAnswer   = 64 << 20 // bytes
	maxLine     = 64 << 10 // bytes, of a line of the protocol
	maxElements = 1 << 20  // of an array
	maxDepth    = 16       // of arrays in arrays
)

// errAnswer marks what is no answer of a Redis server.
var errAnswer = errors.New("the answer is not Redis's")

// A guard is a connection to Redis that fails when the other end does not speak
// Redis's protocol, or does not come to an end. The client library would
// allocate whatever length it is told, and recurse as deep as it is told.
type guard struct {
	net.Conn
	line []byte // of the protocol, as far as it has come
	skip int    // bytes of a string that are to come, with its line end
	open []int  // how many elements are to come of each array
	size int    // bytes of the answer so far
	err  error
}

// guarded returns a guard around a connection. The library looks at the socket
// beneath, where there is one, to find out whether a connection that it has kept
// is still good.
func guarded(conn net.Conn) net.Conn {
	g := &guard{Conn: conn}
	if socket, ok := conn.(syscall.Conn); ok {
		return &guardedSocket{g, socket}
	}
	return g
}

type guardedSocket struct {
	*guard
	syscall.Conn
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	if g.err = g.scan(p[:n]); g.err != nil {
		_ = g.Conn.Close() // nothing that it says is of use any more
		return 0, g.err
	}
	return n, err
}

// scan follows the protocol through the bytes that have come.
func (g *guard) scan(p []byte) error {
	for len(p) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(p))
			g.skip, p = g.skip-n, p[n:]
			if g.skip == 0 {
				g.element()
			}
			continue
		}
		end := bytes.IndexByte(p, '\n')
		n := end + 1
		if end < 0 {
			n = len(p)
		}
		if len(g.line)+n > maxLine {
			return fmt.Errorf("%w: a line does not end", errAnswer)
		}
		g.line, p = append(g.line, p[:n]...), p[n:]
		if end >= 0 {
			if err := g.header(bytes.TrimSuffix(g.line, []byte("\r\n"))); err != nil {
				return err
			}
			g.line = g.line[:0]
		}
	}
	return nil
}

// header takes a whole line that begins an element.
func (g *guard) header(line []byte) error {
	if g.size += len(line); len(line) == 0 {
		return fmt.Errorf("%w: an empty line", errAnswer)
	}
	length := func(most int) (int, error) {
		n, err := strconv.Atoi(string(line[1:]))
		if err != nil || n < -1 || n > most {
			return 0, fmt.Errorf("%w: a length of %.20q", errAnswer, line[1:])
		}
		return n, nil
	}
	switch line[0] {
	case '+', '-', ':', '_', ',', '#', '(':
		g.element()
	case '$', '=', '!':
		n, err := length(maxAnswer)
		if err != nil {
			return err
		}
		if n < 0 {
			g.element()
			break
		}
		g.skip, g.size = n+2, g.size+n
	case '*', '~', '>', '%':
		n, err := length(maxElements)
		if err != nil {
			return err
		}
		if line[0] == '%' {
			n *= 2
		}
		if n <= 0 {
			g.element()
			break
		}
		if g.open = append(g.open, n); len(g.open) > maxDepth {
			return fmt.Errorf("%w: arrays in arrays", errAnswer)
		}
	default:
		return fmt.Errorf("%w: it begins with %.20q", errAnswer, line)
	}
	if g.size > maxAnswer {
		return fmt.Errorf("%w: it has more than %d MiB", errAnswer, maxAnswer>>20)
	}
	return nil
}

// element counts an element that is whole.
func (g *guard) element() {
	for last := len(g.open) - 1; last >= 0; last-- {
		if g.open[last]--; g.open[last] > 0 {
			return
		}
		g.open = g.open[:last]
	}
	g.size = 0
}
