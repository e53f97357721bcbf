package stream

import (
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"
	"syscall"
	"time"

	"weir/stream/internal/netpoll"
)

// A Conn is one open stream. Its fields do not change; its methods may be
// called by any goroutine, while it is open and after.
type Conn struct {
	// Started is when the connection was admitted.
	Started time.Time

	// What every delivery touches comes first, as in [session].
	events atomic.Int64
	bytes  atomic.Int64
	wrote  atomic.Int64 // when, in nanoseconds after Started

	// ID is random and cannot be guessed.
	ID string
	// Topic is what the client reads, Label stands for it in metrics, and
	// Subjects are the filters, none for everything.
	Topic, Label string
	Subjects     []string
	Format       Format
	// Identity is who reads, as Handler.Subscribe says.
	Identity string
	// Value is Subscription.Value.
	Value any
	// Protocol is the version of HTTP: "1.0", "1.1" or "2".
	Protocol string
	// Client is the client's address, as Handler.Subscribe says, else that of the
	// peer, without the port. UserAgent is what the client calls itself.
	Client, UserAgent string
	// Resumed says that the client goes on where it was and has lost nothing by
	// that. ResumedFrom is the last event ID that it gave, or zero.
	Resumed     bool
	ResumedFrom ID

	s     *session
	raw   syscall.RawConn // nil: nothing can be asked of the system
	watch peerWatch       // belongs to the handler's peer monitor

	errors  atomic.Int64
	missed  atomic.Int64 // events that gaps told of
	writing atomic.Int64 // events of the batch under way: the cursor is past them, and the client has not been sent them
	wait    wait
	cut     atomic.Bool               // by cutOff
	last    atomic.Pointer[lastState] // nil while the stream is open
}

// A lastState is what can no longer be asked when a stream is over.
type lastState struct {
	reason  CloseReason
	lag     uint64
	unread  int64
	unknown bool // the system kept bytes that may or may not have arrived
}

func newConnID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Close ends the stream: at once, or when the write under way is over, for which the
// client has little more than Handler.WriteTimeout. With CloseExpired or CloseRevoked the
// client is told not to come back, by a close event; with any other reason, which
// is counted as it is given, it is told when to come back.
func (c *Conn) Close(reason CloseReason) {
	if reason == "" {
		reason = closeLifetime
	}
	c.s.stop(&closure{reason: reason})
}

// Events returns how many events the client has been sent.
func (c *Conn) Events() int64 { return c.events.Load() }

// Bytes returns how many bytes of stream the client has been sent, compressed if they
// are: those of what went out whole, as [Conn.Events] counts it, once its write is over. Of an
// event that is partly written they count nothing, and [Conn.Unread] may be more.
func (c *Conn) Bytes() int64 { return c.bytes.Load() }

// Errors returns how many faults the client has been told of: gaps.
func (c *Conn) Errors() int64 { return c.errors.Load() }

// Since returns the newest event that was in the log when the connection was opened: what
// comes up to it is a replay. It is zero for a Conn that no Handler made.
func (c *Conn) Since() ID {
	if c.s == nil {
		return ID{}
	}
	return c.s.member.Since()
}

// LastWrite returns when something was last written to the client.
func (c *Conn) LastWrite() time.Time { return c.Started.Add(time.Duration(c.wrote.Load())) }

// Blocked returns for how long, in all, writes have waited for the client, with the one
// that waits now.
func (c *Conn) Blocked() time.Duration { return c.wait.total(time.Now()) }

// Left returns why the connection is over, or about to be: "" while it is open,
// and for a Conn that no Handler made.
func (c *Conn) Left() CloseReason {
	if c.s == nil {
		return ""
	}
	if last := c.last.Load(); last != nil {
		return last.reason // a write that is given up ends the request, too, which then says that the client went
	}
	if why := c.s.why.Load(); why != nil {
		return why.reason
	}
	return ""
}

// Lag returns how many events of the topic the client has not been sent: they are in
// the log, or in a write that this system has not taken whole. When the stream is over
// it is what it was at the end; for a Conn that no Handler made it is 0.
func (c *Conn) Lag() uint64 {
	if c.s == nil {
		return 0
	}
	if last := c.last.Load(); last != nil {
		return last.lag
	}
	return c.s.member.Lag() + uint64(c.writing.Load())
}

// Behind returns how many entries of the topic came since the first that the client has
// not been sent, that one among them: those of Lag, those about other subjects that
// came in between, and announcements. It is a distance in the log, of which
// eventlog.Stats tells the entries.
func (c *Conn) Behind() uint64 {
	if c.s == nil {
		return 0
	}
	return c.s.member.Behind(uint64(c.writing.Load()))
}

// Dropped returns how many of the events of Lag the log has dropped already: the client will
// be told of a gap.
func (c *Conn) Dropped() uint64 {
	if c.s == nil {
		return 0
	}
	return c.s.member.Dropped()
}

// Missed returns how many events the gaps told of that the client was sent, as far as
// that is known.
func (c *Conn) Missed() int64 { return c.missed.Load() }

// Unsent returns how many events that came while the stream was open the client was
// never sent: those of Lag, and those that gaps told of. Of a stream that was cut off
// that may not be all: atLeast says that more had been handed to the network than is
// known to have arrived.
func (c *Conn) Unsent() (events int64, atLeast bool) {
	last := c.last.Load()
	return int64(c.Lag()) + c.missed.Load(), last != nil && last.unknown
}

// Stuck returns for how long the write under way has waited since the client last took
// something, 0 when none waits, and how long it takes until the client is cut off for
// that: Handler.WriteTimeout, less what is over, or sooner by [Handler.Drain]; 0 when it is being cut off. On HTTP/2,
// where nobody sees what a client takes of a stream, a write has waited since it began.
func (c *Conn) Stuck() (since, left time.Duration) {
	if c.s == nil {
		return 0, 0
	}
	since, waits := c.wait.under(time.Now())
	if !waits {
		return 0, 0
	}
	left = max(0, or(c.s.h.WriteTimeout, defaultWriteTimeout)-since)
	if drain, ok := c.s.h.conns.cutIn(); ok {
		left = min(left, drain)
	}
	return since, left
}

// cutOff ends a stream whose client takes nothing, which is to end already: its write
// fails. On HTTP/2 the streams beside it fail, too.
func (c *Conn) cutOff() {
	if c.raw != nil && c.cut.CompareAndSwap(false, true) {
		netpoll.Shut(c.raw)
	}
}

// TimeToLoss returns how long it takes until the topic's log drops what the client is
// sent next, at the rate of the last ten seconds, or of a burst since it began. It is not ok when the client does
// not lag: when what waits for it has waited for less than a second, or nothing comes.
// One that takes nothing is cut off at Handler.WriteTimeout, which may be sooner.
func (c *Conn) TimeToLoss() (left time.Duration, ok bool) {
	if c.s == nil {
		return 0, false
	}
	return c.s.member.TimeToLoss(time.Now())
}

// Unread returns how many bytes wait in this system's buffers because the
// client does not take them. It is not ok where the system cannot tell. When the stream
// is over it is what it was at the end.
func (c *Conn) Unread() (bytes int64, ok bool) {
	if last := c.last.Load(); last != nil {
		return last.unread, c.raw != nil
	}
	if c.raw == nil {
		return 0, false
	}
	state, ok := netpoll.Peer(c.raw)
	return int64(state.Queued), ok
}

// ended keeps what can be asked while the connection is there. It is called once, before
// that is closed; cut says that the client is not sent what was under way.
func (c *Conn) ended(reason CloseReason, cut bool) {
	last := &lastState{reason: reason, lag: c.Lag()}
	known := false
	if c.raw != nil {
		var state netpoll.PeerState
		state, known = netpoll.Peer(c.raw)
		last.unread = int64(state.Queued)
		known = known && !state.Outstanding && state.Queued == 0 && !state.Reset
	}
	last.unknown = cut && !known
	c.last.Store(last)
}

// leftBy tells whether a client that is gone has closed its connection, or whether
// that was reset.
func (c *Conn) leftBy() CloseReason {
	if c.raw != nil {
		if state, ok := netpoll.Peer(c.raw); ok && state.Reset {
			return closeReset
		}
	}
	return CloseClient
}
