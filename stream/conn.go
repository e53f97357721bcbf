package stream

import (
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// A Conn is one open stream. Its fields do not change; its methods may be
// called by any goroutine, while it is open and after.
type Conn struct {
	// What each delivery counts comes first: see session.
	next   atomic.Uint64
	events atomic.Int64
	bytes  atomic.Int64
	wrote  atomic.Int64 // when, in nanoseconds after Started

	// Started is when the connection was admitted.
	Started time.Time
	// ID is random and cannot be guessed.
	ID string
	// Topic and Format are what the client asked for.
	Topic, Format string
	// Protocol is the version of HTTP: "1.1" or "2".
	Protocol string
	// Client is the client's address.
	Client string
	// Resumed says that the client gave a last event ID, and ResumedFrom which.
	Resumed     bool
	ResumedFrom ID

	log     *Log
	cancel  func(cause error)
	lookout *lookout // nil: nobody can tell whether the client is there; set under the handler's mutex

	errors atomic.Int64
}

func newConnID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Events returns how many events the client has been sent.
func (c *Conn) Events() int64 { return c.events.Load() }

// Bytes returns how many bytes of stream the client has been sent.
func (c *Conn) Bytes() int64 { return c.bytes.Load() }

// Errors returns how many faults the client has been told of: gaps.
func (c *Conn) Errors() int64 { return c.errors.Load() }

// LastWrite returns when something was last written to the client: an event or
// a heartbeat.
func (c *Conn) LastWrite() time.Time { return c.Started.Add(time.Duration(c.wrote.Load())) }

// Lag returns how many entries of the log the client has not been sent yet.
func (c *Conn) Lag() uint64 {
	c.log.mu.RLock()
	head := c.log.head
	c.log.mu.RUnlock()
	return head - min(head, c.next.Load())
}
