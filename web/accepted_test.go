package web_test

import (
	"strings"
	"testing"
	"time"

	"weir/stream"
)

// The page counts how long an event took from when a server took it: what the publisher
// says of its time, and the ID that a broker gave it later, are others.
func TestRowTellsWhenAServerTookTheEvent(t *testing.T) {
	e := stream.Event{Time: time.UnixMilli(5000), Data: []byte(`1`)}
	for want, at := range map[string]time.Time{"": {}, ` data-accepted="7000.250"`: time.UnixMicro(7_000_250)} {
		e.Origin.Published = at
		_, html, err := templates(t).AppendEvent(nil, "one", &e)
		if err != nil || !strings.Contains(string(html), ` data-time="5000.000"`+want+` data-content`) {
			t.Errorf("taken at %v: no %q in %s, %v", at, want, html, err)
		}
	}
}
