package main

import (
	"math"
	"strconv"
	"time"

	"weir/web"
	"weir/web/limits"
	"weir/web/rights"
)

// accessSettings are the flags that say who may, and how much.
func (c *config) accessSettings() []setting {
	return []setting{
		{name: "publish-token", value: "TOKEN", group: groupAccess, usage: "turns publishing on, for those who send Authorization: Bearer TOKEN", set: text(&c.rights.PublishToken), secret: always},
		{name: "subscribe-token", value: "TOKEN", group: groupAccess, usage: "reading then needs a right: this token, another one that may read, or a ticket from POST /ticket", set: text(&c.rights.SubscribeToken), secret: always},
		{name: "token-file", value: "FILE", group: groupAccess, usage: "more tokens, one a line: publish|subscribe TOKEN [TOPIC,…], where TOPIC is a topic or a pattern such as run.*, optionally followed by / and a subject or pattern of subjects; read again on SIGHUP, which ends the streams of tokens that are gone", set: text(&c.rights.TokenFile)},
		{name: "jwt-keys", value: "PLACE", group: groupAccess, usage: "where the keys are that verify JSON Web Tokens: a JSON Web Key Set, by URL (https, or http on this machine) or file, or public keys or certificates in PEM, by file; reading and publishing then need a right; a token's claim says which: \"weir\": {\"subscribe\": [\"user.42\", \"orders/eu.*\"], \"publish\": [\"run.*\"]}", set: text(&c.rights.Keys)},
		{name: "jwt-audience", value: "NAME", group: groupAccess, usage: "with -jwt-keys, accepts only tokens for this audience (claim aud)", set: text(&c.rights.Audience)},
		{name: "ticket-life", value: "DURATION", def: rights.DefaultTicketLife.String(), group: groupAccess, usage: "how long a ticket from POST /ticket may be used to connect, and to come back", set: duration(&c.rights.TicketLife, time.Second, 365*24*time.Hour)},
		{name: "host", value: "NAME", many: true, group: groupAccess, usage: "name under which this server is reached, such as weir.example.org; on a loopback address, and on the admin address, other names than localhost (the machine's, too) are refused; may be given more than once", set: c.addHost},
		{name: "cors-origin", value: "ORIGIN", many: true, group: groupAccess, usage: "origin whose pages may read streams, and publish with a token, such as https://example.org, or *; may be given more than once", set: c.addOrigin},
		{name: "trusted-proxy", value: "NETWORK", many: true, group: groupAccess, usage: "network whose X-Forwarded-For is believed, such as 10.0.0.0/8; may be given more than once", set: c.addProxy},

		{name: "max-conns", value: "N", def: "10000", group: groupLimits, usage: "open streams in all; beyond it 503, or, to an EventSource, which would give up at that, a stream of one stream-error that says when to come back", set: whole(&c.limits.Conns, 0, math.MaxInt32)},
		{name: "max-conns-per-client", value: "N", def: "100", group: groupLimits, usage: "open streams of one client address; beyond it 429, or such a stream", set: whole(&c.limits.ConnsPerClient, 0, math.MaxInt32)},
		{name: "connect-rate", value: "N", def: "20", group: groupLimits, usage: "new streams a second of one client address, with bursts of ten seconds' worth; beyond it 429, or such a stream; as many tickets, and as many requests with a token that is needed to see something else", set: number(&c.limits.ConnectRate)},
		{name: "publish-rate", value: "N", def: "100", group: groupLimits, usage: "requests to publish a second of one client address, with bursts of one more than a second's worth; beyond it 429", set: number(&c.limits.PublishRate)},
		{name: "max-sockets", value: "N", def: "-max-conns and a quarter more, at least 256 more, as far as there are file descriptors", tells: true, group: groupLimits, usage: "open sockets in all; beyond it 503, or no answer", set: whole(&c.limits.Sockets, 0, math.MaxInt32)},
		{name: "max-sockets-per-client", value: "N", def: "56 more than twice -max-conns-per-client, and at most half of all", tells: true, group: groupLimits, usage: "open sockets of one client address; beyond it 429, or no answer", set: whole(&c.limits.SocketsPerClient, 0, math.MaxInt32)},
		{name: "max-requests", value: "N", def: "256", group: groupLimits, usage: "requests that wait for their answer or are taking it, streams and probes aside; beyond it 503", set: whole(&c.limits.Requests, 0, math.MaxInt32)},
		{name: "max-requests-per-client", value: "N", def: "64", group: groupLimits, usage: "the same, of one client address; beyond it 429", set: whole(&c.limits.RequestsPerClient, 0, math.MaxInt32)},
		{name: "max-body", value: "BYTES", def: strconv.Itoa(web.DefaultMaxBody), group: groupLimits, usage: "largest body of a request to publish; at least 1024", set: whole(&c.limits.MaxBody, 1<<10, 1<<30)},
	}
}

func (c *config) addOrigin(value string) error {
	origins, err := web.ParseOrigins(value)
	c.corsOrigins = append(c.corsOrigins, origins...)
	return err
}

func (c *config) addHost(value string) error {
	name, err := web.ParseHost(value)
	c.hosts = append(c.hosts, name)
	return err
}

func (c *config) addProxy(value string) error {
	nets, err := limits.ParseProxies(value)
	c.limits.Proxies = append(c.limits.Proxies, nets...)
	return err
}

// deriveSockets fills in the bounds for sockets that were not given.
func (c *config) deriveSockets() {
	inAll, perClient := limits.DefaultSockets(limits.OpenFiles(), c.limits.Limits)
	if c.limits.Sockets < 0 {
		c.limits.Sockets = inAll
	}
	if c.limits.SocketsPerClient < 0 {
		c.limits.SocketsPerClient = perClient
	}
}
