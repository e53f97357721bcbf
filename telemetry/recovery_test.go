package telemetry_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream/streamtest"
	"weir/telemetry"
)

// TestTheExportWorksAgain: the log tells when the collector is back, once.
func TestTheExportWorksAgain(t *testing.T) {
	clearEnv(t)
	var well atomic.Bool
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !well.Load() {
			w.WriteHeader(http.StatusBadRequest) // which is not tried again
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.URL+"/v1/traces")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	var log streamtest.Buffer
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h := tel.Middleware("/publish", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	until := func(told string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), told); {
			if time.Now().After(deadline) {
				t.Fatalf("never told %q:\n%s", told, log.String())
			}
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/publish", nil))
			time.Sleep(time.Millisecond) // between two looks
		}
	}
	until("telemetry cannot be exported")
	well.Store(true)
	until("telemetry is exported again")
	for range 20 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/publish", nil))
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "again"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, log.String())
	}
}
