package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"weir/stream"
)

// playground lets everybody on this machine publish and read without a token,
// and nobody else: it refuses what a proxy passes on, and what a page of another
// site makes a browser send. The name in Host is checked before: see [Hosts].
func playground(away *turnedAway, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := playRefusal(r); refusal != nil {
			away.answer(w, r, refusal)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func playRefusal(r *http.Request) *stream.Refusal {
	if forwarded(r) {
		return problem(http.StatusForbidden, rejectPlayForwarded, "This server was started with -play, which is for this machine alone; a proxy stands in front of it. Start it with tokens instead.")
	}
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && !addr.Addr().Unmap().IsLoopback() {
		return problem(http.StatusForbidden, rejectPlayRemote, "This server was started with -play, which is for its own machine alone.")
	}
	if foreign(r) {
		return problem(http.StatusForbidden, rejectPlayOrigin, "This server was started with -play, and another site's page asked. Only its own page may, and programs on this machine.")
	}
	return nil
}

// foreign reports whether a page of another site caused the request. Following a
// link from there to a page here is not foreign: the browser shows the page, and the
// other site sees nothing of it.
func foreign(r *http.Request) bool {
	h := r.Header
	linked := (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" && isPage(r.URL.Path)
	switch h.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		if !linked {
			return true
		}
	}
	if origin := h.Get("Origin"); origin != "" && !sameHost(origin, r.Host) {
		return true
	}
	// An old browser says nothing else of a form that another page has sent.
	if referer := h.Get("Referer"); referer != "" && h.Get("Sec-Fetch-Site") == "" && !sameHost(referer, r.Host) {
		return true
	}
	return false
}

// ownPages refuses what another site's page has asked for: to make a profile takes
// processor time, though that page does not see it.
func ownPages(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if foreign(r) {
			WriteProblem(w, r, problem(http.StatusForbidden, rejectOrigin, "Another site's page may not ask for this."))
			return
		}
		next(w, r)
	}
}

// isPage reports whether a browser that goes to a path gets a page, and nothing
// happens by that.
func isPage(path string) bool {
	return path == "/" || strings.HasPrefix(path, "/t/") || path == "/streams" || path == "/traces" || strings.HasPrefix(path, "/traces/")
}

func sameHost(address, host string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(withPort(u.Host, u.Scheme), withPort(host, u.Scheme))
}

func withPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if scheme == "https" {
		return host + ":443"
	}
	return host + ":80"
}
