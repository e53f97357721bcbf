package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/cors"
)

// ParseOrigins reads the origins that may read streams, separated by commas:
// each a scheme and a host, with its port unless that is the scheme's own, as a
// browser sends it, or "*" for every one. "null" is refused: any page can have
// that origin.
func ParseOrigins(list string) ([]string, error) {
	var origins []string
	for origin := range strings.SplitSeq(list, ",") {
		origin = strings.TrimSpace(origin)
		if origin == "*" {
			origins = append(origins, origin)
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Hostname() == "" || strings.Contains(u.Hostname(), ":") && u.Host[0] != '[' || strings.Contains(origin, "*") || !strings.EqualFold(origin, u.Scheme+"://"+u.Host) {
			return nil, errors.New("want an origin such as https://example.org (no path), or *")
		}
		// A browser leaves the scheme's own port out, so that an origin that
		// names it would match nobody.
		host := u.Host
		switch port := u.Port(); {
		case port == "", u.Scheme == "https" && port == "443", u.Scheme == "http" && port == "80":
			host = strings.TrimSuffix(host, ":"+port)
		}
		origins = append(origins, u.Scheme+"://"+strings.ToLower(host))
	}
	return origins, nil
}

// A sharing answers what browsers ask on behalf of pages of other origins. The
// listed origins may send credentials; with "*" every other one may come without.
// A nil sharing lets no other origin in.
type sharing struct {
	listed    map[string]bool
	cors, all *cors.Cors // all is nil without "*"
}

// requestHeaders are those that pages may send: what Weir reads, and what htmx,
// Datastar and tracing add to every request of theirs.
var requestHeaders = []string{
	"Authorization", "Content-Type", "Last-Event-ID", "Cache-Control", "X-Requested-With", "Datastar-Request",
	"Traceparent", "Tracestate", "Baggage",
	"HX-Boosted", "HX-Current-URL", "HX-History-Restore-Request", "HX-Preloaded", "HX-Prompt", "HX-Request", "HX-Request-Type",
	"HX-Source", "HX-Target", "HX-Trigger", "HX-Trigger-Name",
	"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type", "Ce-Subject", "Ce-Time", "Ce-Dataschema", "Ce-Traceparent",
}

// newSharing returns nil where no origin is let in.
func newSharing(lists []string) (*sharing, error) {
	var s sharing
	s.listed = make(map[string]bool)
	var origins []string
	every := false
	for _, list := range lists {
		some, err := ParseOrigins(list)
		if err != nil {
			return nil, fmt.Errorf("web: origin %.80q: %w", list, err)
		}
		for _, origin := range some {
			if origin == "*" {
				every = true
				continue
			}
			origins = append(origins, origin)
			s.listed[strings.ToLower(origin)] = true
		}
	}
	if len(origins) == 0 && !every {
		return nil, nil
	}
	opts := cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut},
		AllowedHeaders: requestHeaders,
		ExposedHeaders: []string{"Retry-After"},
		MaxAge:         600,
	}
	if every {
		all := opts
		all.AllowedOrigins = []string{"*"}
		s.all = cors.New(all)
	}
	if len(origins) > 0 {
		opts.AllowCredentials = true
		s.cors = cors.New(opts)
	}
	return &s, nil
}

// share lets pages of the listed origins in; without a list, none.
func (s *sharing) share(next http.Handler) http.Handler {
	if s == nil {
		return next
	}
	listed, others := next, next
	if s.cors != nil {
		listed = s.cors.Handler(next)
		others = listed // which refuses them
	}
	if s.all != nil {
		others = s.all.Handler(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.listed[strings.ToLower(r.Header.Get("Origin"))] {
			listed.ServeHTTP(w, r)
			return
		}
		if s.all != nil && s.cors != nil {
			w.Header().Add("Vary", "Origin") // the listed ones get another answer
		}
		others.ServeHTTP(w, r)
	})
}
