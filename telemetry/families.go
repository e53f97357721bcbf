package telemetry

// Boundaries of histograms.
var (
	deliveryBounds = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	publishBounds  = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	clientBounds   = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	ageBounds      = []float64{1, 5, 15, 60, 300, 900, 3600, 10800, 21600, 43200, 86400}
	countBounds    = []float64{0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000}
	requestBounds  = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10} // those of the semantic conventions
)

// families are the histograms that Weir keeps itself.
type families struct {
	all []*family // in the order in which they are given

	deliveries, publishing, brokering, durations,
	fanout, replay, clientDelivery, clientRender *family
}

// newFamilies makes the histograms. They can be given as exponential ones too, if
// that is said.
func newFamilies(exponential bool) families {
	var fs families
	histogram := func(name, unit, description string, bounds []float64) *family {
		f := &family{name: name, unit: unit, description: description, layout: newLayout(bounds, exponential)}
		fs.all = append(fs.all, f)
		return f
	}
	fs.deliveries = histogram("sse.server.delivery.duration", "s", "From the entry of an event into the log to its flush to a client; replays do not count.", deliveryBounds)
	fs.publishing = histogram("sse.server.publish.duration", "s", "From the publishing of an event until it is in the log, or acknowledged by the broker.", publishBounds)
	fs.brokering = histogram("sse.server.broker.publish.duration", "s", "How long the broker took to store what was published.", publishBounds)
	fs.durations = histogram("sse.server.connection.duration", "s", "How long connections were open.", ageBounds)
	fs.fanout = histogram("sse.server.fanout.size", "{connection}", "Connections that were open to a topic when an event entered it.", countBounds)
	fs.replay = histogram("sse.server.replay.size", "{event}", "Events from before its stream that a client was sent first; 0 for a stream without.", countBounds)
	fs.clientDelivery = histogram("sse.client.delivery.duration", "s", "From the publishing of an event to its arrival in the browser.", clientBounds)
	fs.clientRender = histogram("sse.client.render.duration", "s", "From the arrival of an event in the browser until it was on screen.", clientBounds)
	return fs
}
