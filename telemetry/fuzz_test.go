package telemetry_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/sse"
	"weir/telemetry"
)

// Whatever a page reports, by the connection that is its own, is believed or
// refused, and refused with a status that says why.
func FuzzBeacon(f *testing.F) {
	f.Add(`{"now":NOW,"connection":"CONNECTION","proof":"PROOF","reports":[{"topic":"sensor","id":"ID","traceparent":"TRACE","received":NOW,"shown":NOW,"busy":1}]}`)
	f.Add(`{"now":1e308,"connection":"CONNECTION","proof":"PROOF","reports":[{"received":-1e308,"shown":NaN}]}`)
	f.Add(`{"reports":null}`)
	f.Add(`[]`)
	quiet := slog.New(slog.DiscardHandler)
	tel, err := telemetry.Setup(f.Context(), telemetry.Options{Logger: quiet, ReportRate: func(*http.Request) time.Duration { return 0 }})
	if err != nil {
		f.Fatal(err)
	}
	hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks(), Logger: quiet})
	f.Cleanup(hub.Close)
	if err := hub.AddTopic("sensor"); err != nil {
		f.Fatal(err)
	}
	handler := &stream.Handler{Hub: hub, Format: stream.FormatJSON}
	tel.Observe(handler)
	server := httptest.NewServer(tel.Middleware("/sse-stream", handler))
	f.Cleanup(server.CloseClientConnections)
	resp, err := http.Get(server.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { resp.Body.Close() })
	var told, event struct{ Connection, Traceparent, ID string }
	in := sse.NewDecoder(resp.Body)
	for _, to := range []any{&told, &event} {
		m, err := in.Next()
		if err == nil {
			err = json.Unmarshal(m.Data, to)
		}
		if err != nil {
			f.Fatal(err)
		}
		if to == any(&told) {
			if _, err := hub.Publish(f.Context(), "sensor", stream.Event{Data: []byte("1")}); err != nil {
				f.Fatal(err)
			}
		}
	}
	reports := tel.BrowserHandler()
	f.Fuzz(func(t *testing.T, body string) {
		now := fmt.Sprintf("%.3f", millis(time.Now()))
		text := strings.NewReplacer("CONNECTION", told.Connection, "PROOF", told.Traceparent, "TRACE", event.Traceparent, "ID", event.ID, "NOW", now).Replace(body)
		r := httptest.NewRequest("POST", "http://weir.example/telemetry/browser", strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		w := httptest.NewRecorder()
		reports.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusNoContent, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("%q: %d %q", text, w.Code, w.Body)
		}
	})
}
