package main

import (
	"errors"
	"time"

	"weir/telemetry"
	"weir/web"
)

// journey puts what telemetry knows of an event in the page's words.
func journey(tel *telemetry.Telemetry) func(traceID, eventID, connection string) web.Journey {
	return func(traceID, eventID, connection string) web.Journey {
		j, err := tel.Journey(telemetry.JourneyQuery{TraceID: traceID, EventID: eventID, StreamID: connection})
		switch {
		case errors.Is(err, telemetry.ErrEvicted):
			return web.Journey{Missing: "This event is too long ago: only the last few are kept in memory. A collector keeps them all."}
		case err != nil:
			return web.Journey{Missing: "Nothing is known of this trace here: the event was not sampled, or another node made it."}
		}
		page := web.Journey{Topic: j.Topic, EventID: j.EventID, TotalMS: millis(j.Total)}
		for _, s := range j.Steps {
			row := web.JourneyRow{
				Name: s.Name, Service: s.Service, Kind: s.Kind, Gap: s.Gap,
				StartMS: millis(s.Start.Sub(j.Start)), DurationMS: millis(s.Duration),
			}
			if j.Total > 0 {
				row.SharePct = 100 * float64(s.Duration) / float64(j.Total)
			}
			page.Rows = append(page.Rows, row)
		}
		return page
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
