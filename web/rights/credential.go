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
