package telemetry_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"weir/stream"
	"weir/telemetry"
)

// Whatever a page reports, by the connection that is its own, is believed or
// refused, and refused with a status that says why.
func FuzzBeacon(f *testing.F) {
	f.Add(`{"now":NOW,"connection":"CONNECTION","proof":"PROOF","reports":[{"topic":"sensor","id":"1-0","traceparent":"PROOF","received":NOW,"shown":NOW,"busy":1}]}`)
	f.Add(`{"now":1e308,"connection":"CONNECTION","proof":"PROOF","reports":[{"received":-1e308,"shown":NaN}]}`)
	f.Add(`{"reports":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, telemetry.Options{}, stream.HubOptions{})
			c := r.connect("/sse-stream", nil, nil)
			r.publish("1")
			page := c.page(r)
			text := strings.NewReplacer("CONNECTION", page.connection, "PROOF", page.proof, "NOW", "1.7e12").Replace(body)
			w := page.post(strings.NewReader(text), nil)
			switch w.Code {
			case http.StatusNoContent, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			default:
				t.Errorf("%q: %d %q", text, w.Code, w.Body)
			}
			c.cancel()
			r.close()
		})
	})
}
