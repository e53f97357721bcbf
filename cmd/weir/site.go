package main

import (
	"net"
	"net/netip"

	"weir/web"
)

// openSite wires what is served to what serves it.
func openSite(cfg *config, topics *topics, secrets *secrets, carrier carrier, tel *observation) (*web.Server, error) {
	jaegerUI := (&jaegerProbe{}).url
	if cfg.jaegerUI != "" {
		jaegerUI = func() string { return cfg.jaegerUI }
	}
	site, err := web.NewServer(web.Options{
		Hub: topics.hub, Stream: topics.handler, Admin: cfg.adminAddr != "", Logger: tel.logger,
		Access: web.Access{Rights: secrets.access, CORSOrigins: cfg.corsOrigins, Play: cfg.play, Hosts: web.Hosts{Loopback: loopback(cfg.addr), Names: cfg.hosts}},
		Limits: cfg.limits,
		Page:   web.PageOptions{Templates: topics.templates, Demands: cfg.demanded(), Version: version(), JaegerUI: jaegerUI},
		Observe: web.Observe{
			Instrument: tel.Middleware, Publisher: tel.Publisher, Metrics: tel.MetricsHandler(), Browser: tel.BrowserHandler(), TurnedAway: tel.TurnedAway,
			Traces: tel.Journeys(), Traceparent: tel.PageTraceparent, Segments: tel.StreamSegments, Ready: carrier.ready, Cluster: carrier.cluster(),
		},
	})
	if err != nil {
		return nil, err
	}
	secrets.revoked = site.EndRevoked
	topics.handler.Subscribe, topics.handler.Refuse = site.Subscribe, site.Refuse
	return site, nil
}

// loopback reports whether an address to listen on is one of this machine alone.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr) // checked by its flag
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
