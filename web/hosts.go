package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Hosts says under which names the server is addressed. A page whose name was
// made to point at this machine (DNS rebinding) is of the same site as the
// server, for a browser; by the header Host the server knows better.
type Hosts struct {
	// Loopback says that the server listens on a loopback address: only names
	// of it are served, and those in Names.
	Loopback bool
	// Names are further names, without a port.
	Names []string
}

// ParseHost reads one name or address for [Hosts].Names, without a port.
func ParseHost(name string) (string, error) {
	bare := strings.TrimSuffix(strings.ToLower(name), ".")
	if address := strings.Trim(bare, "[]"); isAddress(address) {
		return address, nil
	}
	// As a browser sends it: letters of other scripts are punycode there.
	for label := range strings.SplitSeq(bare, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", errors.New("want a name such as weir.example.org, without scheme and port")
		}
	}
	return bare, nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// allows reports whether the value of a header Host is one of the server's own.
// An address cannot be pointed here by somebody else, as a name can. With anyAddress
// every address is allowed.
func (h Hosts) allows(host string, anyAddress bool) bool {
	if host == "" {
		return true // HTTP/1.0: no browser
	}
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		if anyAddress || addr.Unmap().IsLoopback() {
			return true
		}
	} else if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	for _, own := range h.Names {
		if name == own {
			return true
		}
	}
	return false
}

// guard refuses requests for another host's name.
func (h Hosts) guard(anyAddress bool, away *turnedAway, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.allows(r.Host, anyAddress) {
			away.answer(w, r, problem(http.StatusMisdirectedRequest, rejectHost,
				fmt.Sprintf("This server is not known as %.120q. If it should be, start it with -host and that name.", r.Host)))
			return
		}
		next.ServeHTTP(w, r)
	})
}
