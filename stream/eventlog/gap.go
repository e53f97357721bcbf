package eventlog

import "fmt"

// Reasons of a [Gap].
const (
	GapSlow    = "slow"    // the log's floor overtook the reader
	GapExpired = "expired" // the log does not hold any more what the reader asked for
	GapRestart = "restart" // the log began after what the reader asked for
	GapReset   = "reset"   // the log went back: events were taken back, or IDs began again
	GapUnknown = "unknown" // the reader asked for an ID that the topic never gave
)

// GapReasons are all of them.
var GapReasons = []string{GapSlow, GapExpired, GapRestart, GapReset, GapUnknown}

// A Gap tells a reader what it cannot get: the events after From, up to and
// including To. It is an error, and the cursor goes on after the gap.
type Gap struct {
	From, To ID
	Reason   string
	// Missed is how many events are lost, where the log can tell; else 0.
	Missed uint64
}

func (g *Gap) Error() string {
	return fmt.Sprintf("events after %s up to %s are lost (%s)", g.From, g.To, g.Reason)
}

// Ended is the error of a cursor that has read everything of a closed log.
type Ended struct{ Reason string }

func (e *Ended) Error() string { return "the topic has ended: " + e.Reason }
