package rights

import (
	"net/http"
	"strings"
)

// bearer returns the token of the header Authorization (RFC 6750), or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Shown reports whether the request carries a credential, valid or not.
func Shown(r *http.Request) bool {
	return bearer(r) != "" || r.URL.Query().Get("ticket") != ""
}
