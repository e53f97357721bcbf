package web

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// MaxClients bounds the table of rates.
const MaxClients = maxClients

// NewRates returns a table of rates: what takes, and what tells its size.
func NewRates(limit float64, burst int) (take func(netip.Addr) time.Duration, size func() int) {
	l := &rates{limit: rate.Limit(limit), burst: burst}
	return l.take, func() int { return len(l.clients) }
}
