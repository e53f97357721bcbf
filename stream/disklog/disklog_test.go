package disklog_test

import (
	"log/slog"
	"testing"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/streamtest"
)

// open opens a log that is closed when the test ends.
func open(t testing.TB, dir string, opts disklog.Options) *disklog.Broker {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestConformance(t *testing.T) {
	for name, sync := range map[string]bool{"Sync": true, "NoSync": false} {
		t.Run(name, func(t *testing.T) {
			streamtest.TestBroker(t, func(t *testing.T) stream.Broker {
				return open(t, t.TempDir(), disklog.Options{Sync: sync})
			})
		})
	}
}
