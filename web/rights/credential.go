package rights

import (
	"net/http"
	"net/url"
	"strings"
)

// Cookie is the name of the cookie that may carry a token. The application that
// sets it makes it HttpOnly: no script needs to read it.
const Cookie = "weir"

// A carrier is what brought a credential.
type carrier int

const (
	byHeader carrier = iota
	byTicket
	byCookie
)

// credential returns what the request shows, or "". EventSource cannot send a
// header: it reads by a ticket in the query, or by the cookie.
func credential(r *http.Request, action Action) (word string, by carrier) {
	if action == Subscribe {
		if ticket := r.URL.Query().Get("ticket"); ticket != "" {
			return ticket, byTicket
		}
	}
	if token := bearer(r); token != "" {
		return token, byHeader
	}
	if cookie, err := r.Cookie(Cookie); err == nil && cookie.Value != "" {
		return cookie.Value, byCookie
	}
	return "", byHeader
}

// Shown reports whether the request carries a credential, valid or not.
func Shown(r *http.Request) bool {
	word, _ := credential(r, Subscribe)
	return word != ""
}

// bearer returns the token of the header Authorization (RFC 6750), or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// SameOrigin reports whether a browser says that the request was made by a page
// of the server's own origin. Without these headers the answer is false. Package
// telemetry has the same rule for the reports of pages.
func SameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}
