package web

import (
	"errors"
	"net/url"
	"strings"
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
