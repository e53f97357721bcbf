package telemetry

import (
	"time"

	"weir/stream"
	"weir/telemetry/journey"
)

// Values of sse.delivery.pick: why a delivery got a span.
const (
	pickFirst    = "first"
	pickSlowest  = "slowest"
	pickGapped   = "gapped"
	pickRandom   = "random"
	pickReported = "reported"
	pickLate     = "late"
)

// A picked is a delivery that gets a span, and why.
type picked struct {
	delivery
	why string
}

// A delivery is one event on its way to one client.
type delivery struct {
	to               *streamTrace
	id               stream.ID
	at, began, ended time.Time // in the log, write began, flushed
	batch            int       // events written together
	replay, gapped   bool
	chance           bool // it is one of the random few, if they are not too many
}

// told is the delivery as journeys tell it.
func (d *delivery) told(why string) journey.Delivery {
	return journey.Delivery{
		Connection: d.to.conn.ID, Entered: d.at, Began: d.began, Ended: d.ended,
		Batch: d.batch, Replay: d.replay, Gapped: d.gapped, Why: why,
	}
}
