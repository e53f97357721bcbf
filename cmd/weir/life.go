package main

import (
	"log/slog"
	"time"
)

// A life is this run of the program, which the log tells of: from the moment at which
// clients are served to the end of the last stream.
type life struct {
	logger  *slog.Logger
	node    string
	began   time.Time
	streams int // that were open when the end began
}

// begin logs what has begun: who this is, where, and what is on. Of secrets it tells
// that there are some.
func begin(cfg *config, servers *servers, logger *slog.Logger) *life {
	var topics, demanded, rights []string
	for _, f := range cfg.feeds {
		topics = append(topics, f.topic)
	}
	for _, d := range cfg.demands {
		demanded = append(demanded, d.opts.Label)
	}
	for _, r := range []struct {
		name string
		on   bool
	}{
		{"publish-token", cfg.rights.PublishToken != ""}, {"subscribe-token", cfg.rights.SubscribeToken != ""},
		{"token-file", cfg.rights.TokenFile != ""}, {"jwt-keys", cfg.rights.Keys != ""}, {"play", cfg.play},
	} {
		if r.on {
			rights = append(rights, r.name)
		}
	}
	broker := "memory"
	switch {
	case cfg.redis != "":
		broker = "redis"
	case cfg.data != "":
		broker = "disk"
	}
	attrs := []any{"version", version(), "node", cfg.node, "address", servers.addr.String()}
	if servers.admin != nil {
		attrs = append(attrs, "admin", servers.adminAddr.String())
	}
	logger.Info("started", append(attrs, "tls", cfg.tlsCert != "", "broker", broker, "topics", topics, "topics_on_demand", demanded, "rights", rights)...)
	return &life{logger: logger, node: cfg.node, began: time.Now()}
}

// end logs that it is over, and why. It is the last that the log has of a life, so that
// "took" is how long the end took: sources are closed before. A life that has not begun
// is nil.
func (l *life) end(e *ending, topics *topics, err error) {
	if l == nil {
		return
	}
	attrs := []any{"node", l.node, "streams_ended", l.streams - topics.handler.Active(), "ran", time.Since(l.began).Round(time.Second).String()}
	if b := e.began.Load(); b != nil {
		attrs = append(attrs, "signal", b.by, "took", time.Since(b.at).Round(time.Millisecond).String())
	}
	if err != nil {
		l.logger.Error("stopped", append(attrs, "error", err)...)
		return
	}
	l.logger.Info("stopped", attrs...)
}
