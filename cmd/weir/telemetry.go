package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"weir/stream/eventlog"
	"weir/telemetry"
	"weir/web"
	"weir/web/limits"
)

// exportPatience is how long a collector may take at the end.
const exportPatience = 3 * time.Second

// A page reports once a second. Behind one address there may be several.
const (
	reportRate  = 10 // a second
	reportBurst = 40
)

// observation is telemetry and the log.
type observation struct {
	*telemetry.Telemetry
	logger *slog.Logger
}

func startTelemetry(ctx context.Context, cfg *config, stderr io.Writer) (*observation, error) {
	eventTraces := cfg.eventTraces
	if eventTraces == 0 {
		eventTraces = -1 // none
	}
	reports := limits.NewRates(reportRate, reportBurst)
	tel, err := telemetry.Setup(ctx, telemetry.Options{
		Version: version(), Node: cfg.node, EventTraces: eventTraces,
		EventTypes:    append([]string{eventlog.DefaultType}, cfg.kinds.EventTypes()...),
		RejectReasons: web.RefusalReasons, TurnedAwayReasons: web.TurnedAwayReasons,
		Client:     func(r *http.Request) string { return cfg.limits.Proxies.Client(r).String() },
		ReportRate: func(r *http.Request) time.Duration { return reports.Take(cfg.limits.Proxies.Client(r)) },
	})
	if bad := new(telemetry.EnvError); errors.As(err, &bad) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	logger := slog.New(tel.LogHandler(stderr, cfg.logLevel))
	slog.SetDefault(logger)
	if names := tel.Ignored(); len(names) > 0 {
		logger.Warn("variables that mean nothing to Weir are set", "names", strings.Join(names, ", "))
	}
	return &observation{tel, logger}, nil
}

// closing ends a part, and logs what goes wrong.
func (o *observation) closing(what string, close func() error) {
	if err := close(); err != nil {
		o.logger.Error("closing "+what+" has failed", "error", err)
	}
}

// stop exports what has not been exported. A collector that does not answer
// holds up the end for exportPatience at most.
func (o *observation) stop(second context.Context) {
	ctx, cancel := context.WithTimeout(second, exportPatience)
	defer cancel()
	if err := o.Shutdown(ctx); err != nil {
		o.logger.Warn("the last telemetry was not exported", "error", err)
	}
}
