package telemetry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"

	"weir/stream"
	"weir/telemetry"
)

// TestBaggage: a publisher's baggage is told of with the event, so much of it, and
// only of one who has shown a right.
func TestBaggage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		var members []string
		for i := range 20 {
			members = append(members, fmt.Sprint("m", i, "=v"))
		}
		many := http.Header{"Baggage": {strings.Join(members, ",")}}
		serve(r.publisher(true), "POST", "/publish", many)
		serve(r.publisher(true), "POST", "/publish", http.Header{"Baggage": {"long=" + strings.Repeat("x", 500) + ",short=v"}})
		// A middleware of the program's own has taken the baggage out of the header.
		b, err := baggage.Parse("tenant=blue")
		if err != nil {
			t.Fatal(err)
		}
		untrusted := r.publisher(false)
		serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			untrusted.ServeHTTP(w, req.WithContext(baggage.ContextWithBaggage(req.Context(), b)))
		}), "POST", "/publish", nil)
		r.close()
		var got []int
		for _, event := range named(r.ended(), "event ") {
			n := 0
			keys := []string{}
			for _, a := range event.Attributes() {
				if strings.HasPrefix(string(a.Key), "baggage.") {
					n++
					keys = append(keys, strings.TrimPrefix(string(a.Key), "baggage."))
				}
			}
			got = append(got, n)
			if n == 8 && fmt.Sprint(keys) != "[m0 m1 m10 m11 m12 m13 m14 m15]" { // the first by name, the same each time
				t.Errorf("of twenty members it tells of %v", keys)
			}
		}
		if fmt.Sprint(got) != "[8 1 0]" {
			t.Errorf("the events tell of %v members of baggage, want 8, 1 and none", got)
		}
	})
}
