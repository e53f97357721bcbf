package main

import (
	"context"
	"log/slog"
	"time"

	"weir/stream"
	"weir/stream/source"
	"weir/web"
)

// topics are the hub with the topics that the flags name, and the streams that
// read them.
type topics struct {
	hub       *stream.Hub
	handler   *stream.Handler
	templates *web.Templates
	feeds     []feed
	logger    *slog.Logger
}

func openTopics(cfg *config, carrier carrier, tel *observation) (*topics, error) {
	templates, err := web.ParseTemplates(nil)
	if err != nil {
		return nil, err
	}
	hooks := tel.Hooks()
	for _, label := range cfg.demandLabels() {
		hooks.Topic("", label)
	}
	hub := stream.NewHub(stream.HubOptions{
		Topic:    cfg.topic(),
		OnDemand: cfg.onDemand(),
		Formats:  map[stream.Format]stream.Formatter{"html": templates.AppendEvent},
		Broker:   tel.Broker(carrier.broker, carrier.kind),
		Hooks:    hooks,
		Logger:   tel.logger,
	})
	handler := &stream.Handler{
		Hub: hub, Format: "html", Node: cfg.node,
		Heartbeat: cfg.heartbeat, WriteTimeout: cfg.writeTimeout, Retry: cfg.retry, Lifetime: cfg.lifetime,
		Transport: transport(cfg.transport), Compress: cfg.compress,
		Logger: tel.logger,
	}
	tel.Observe(handler)
	return &topics{hub: hub, handler: handler, templates: templates, feeds: cfg.feeds, logger: tel.logger}, nil
}

// topic returns the options of every topic.
func (c *config) topic() stream.TopicOptions {
	return stream.TopicOptions{History: c.history, Bytes: c.historyBytes, Pace: c.pace}
}

// start makes a topic for each source, waits until the topics have joined their
// broker, and starts the sources: a source that is quick must not publish before
// its topic's neighbours exist.
func (t *topics) start(ctx context.Context, proc *process) error {
	proc.handler.Store(t.handler)
	for _, f := range t.feeds {
		if err := t.hub.AddTopic(f.topic); err != nil {
			return usageError{err}
		}
	}
	if err := t.join(ctx); err != nil {
		return err
	}
	for _, f := range t.feeds {
		if f.source == (source.HTTP{}) {
			continue // nothing runs that could be up or down
		}
		if err := t.hub.AddSource(f.topic, f.source); err != nil {
			return err
		}
	}
	return nil
}

// join waits until what the broker holds of each topic is in its log. Clients
// that came before would be refused.
func (t *topics) join(ctx context.Context) error {
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for began, told := time.Now(), time.Now(); ; {
		missing := 0
		for _, health := range t.hub.Health() {
			if health.Broker != nil && health.Broker.State != stream.SourceUp {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if time.Since(told) > 2*time.Second {
			told = time.Now()
			t.logger.Warn("waiting for the broker", "for", time.Since(began).Round(time.Second).String(), "topics_missing", missing)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lastWord is how long a client has to take the last bytes of its stream.
const lastWord = 2 * time.Second

// drain ends the streams gently, and cuts what is left. It returns how many were open.
func (t *topics) drain(second context.Context, over time.Duration) (open int) {
	open = t.handler.Active()
	if open > 0 {
		t.logger.Info("ending the streams; a second signal ends them at once", "streams", open, "over", over.String())
	}
	ctx, cancel := context.WithTimeout(second, over+lastWord)
	defer cancel()
	if err := t.handler.Drain(ctx, over); err != nil && open > 0 {
		t.logger.Warn("streams were cut at the end", "of", open)
	}
	return open
}

// transport returns what -transport names.
func transport(name string) stream.Transport {
	if name == transportPlain {
		return stream.TransportPlain
	}
	return stream.TransportLean
}

// The values of -transport.
const (
	transportAuto  = "auto"
	transportPlain = "net/http"
)
