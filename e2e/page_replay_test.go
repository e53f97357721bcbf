package e2e_test

import (
	"encoding/json"
	"testing"
	"time"
)

// A replay is no latency of the stream: neither at first, nor when the page has had more
// events than the server remembers of its deliveries.
func TestReplayStaysNoLatency(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	before := make(map[string]bool)
	for _, id := range s.publish("t", seq(0, 20)...) {
		before[id] = true
	}
	p := openPage(t, s.url())
	p.connect()
	p.total(20)
	type line struct {
		ID    string `json:"event_id"`
		Last  string `json:"last"`
		Later int    `json:"later"`
	}
	var list struct{ Traces []line }
	told := func() (n int) { // events after those of before that the page has told of
		a := send(t, "GET", s.url()+"/traces?topic=t&limit=200&sort=slowest", "", "Accept", "application/json")
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Traces {
			if !before[e.ID] && (e.Last == "process" || e.Last == "arrive") {
				n++
			}
		}
		return n
	}
	// Until the page has told of more than are remembered of it. How many events of a
	// second are sampled is a matter of how busy the machine is.
	for total, end := 20, time.Now().Add(time.Minute); told() <= 128; {
		if time.Now().After(end) {
			t.Fatalf("the page has told of too few: %+v", list.Traces)
		}
		s.publish("t", seq(total, total+45)...)
		total += 45
		p.total(total)
		pause(1100 * time.Millisecond) // the budget of a second, and the page's reports
	}
	later := 0
	for _, e := range list.Traces {
		if !before[e.ID] {
			continue
		}
		if e.Last != "send" {
			t.Errorf("%s, which was there before the page, is told as a journey to it: %+v", e.ID, e)
		}
		later += e.Later
	}
	if later == 0 {
		t.Error("no event is told to have come to the page later")
	}
}
