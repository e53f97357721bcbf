package web

import (
	"net/http"
	"slices"
)

// forwardedHeaders are the headers by which a proxy says that it has passed a
// request on.
var forwardedHeaders = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// forwarded reports whether a proxy has passed the request on, as far as that can be
// told. A loopback address is then no sign that the client is on this machine. A
// proxy that adds no header asks by HTTP/1.0, as nginx does that was told nothing
// else; no browser does.
func forwarded(r *http.Request) bool {
	return !r.ProtoAtLeast(1, 1) || slices.ContainsFunc(forwardedHeaders, func(name string) bool { return len(r.Header.Values(name)) > 0 })
}
