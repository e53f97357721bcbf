package web

import (
	"math"
	"net/http"

	"weir/stream"
	"weir/web/limits"
)

// burstSeconds is how many seconds' worth of streams a client may open at
// once: a browser that comes back restores all its tabs.
const burstSeconds = 10

// connectRates are new rates of perSecond, with a burst of burstSeconds.
func connectRates(perSecond float64) *limits.Rates {
	return limits.NewRates(perSecond, int(math.Ceil(perSecond*burstSeconds)))
}

// A throttle bounds how often one client asks for one kind of thing. It is asked
// before a credential is looked at: it bounds guessing too.
type throttle struct {
	rates          *limits.Rates
	proxies        limits.Proxies
	reason, detail string // of the refusal
}

// refuse counts the request, and refuses it if its client asks too often.
func (t *throttle) refuse(r *http.Request) *stream.Refusal {
	if wait := t.rates.Take(t.proxies.Client(r)); wait > 0 {
		return problemLater(http.StatusTooManyRequests, t.reason, t.detail, wait)
	}
	return nil
}
