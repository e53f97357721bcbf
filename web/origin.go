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
		if err != nil || u.Scheme == "" || u.Hostname() == "" || strings.Contains(origin, "*") || !strings.EqualFold(origin, u.Scheme+"://"+u.Host) {
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

// newCORS returns what answers the browser's questions, or nil where no origin
// is let in.
func newCORS(lists []string) (*cors.Cors, error) {
	var origins []string
	for _, list := range lists {
		some, err := ParseOrigins(list)
		if err != nil {
			return nil, fmt.Errorf("web: origin %.80q: %w", list, err)
		}
		origins = append(origins, some...)
	}
	if len(origins) == 0 {
		return nil, nil
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Last-Event-ID", "Traceparent", "Cache-Control"},
		ExposedHeaders: []string{"Retry-After"},
		MaxAge:         600,
	}), nil
}

// crossOrigin lets the listed origins in; without a list, none.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if s.cors == nil {
		return next
	}
	return s.cors.Handler(next)
}
