package web

import (
	"net/http"
	"strings"
	"time"

	"weir/web/rights"
)

// A ticketHandler serves /ticket. POST makes a credential for a client that cannot
// send the header; with keep=1 the token itself is kept in the cookie besides, for as
// long as the browser is open, as the page asks for it, and so is one that only
// publishes, of which there is no ticket. DELETE takes the cookie away.
type ticketHandler struct {
	gate *gate
	asks *throttle
}

func (t *ticketHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodDelete && rights.SameOrigin(r):
		http.SetCookie(w, &http.Cookie{Name: rights.Cookie, Path: "/", MaxAge: -1, HttpOnly: true})
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method == http.MethodDelete:
		WriteProblem(w, r, problem(http.StatusForbidden, rights.ReasonCookieOrigin, "The cookie is taken away by a page of this server's own origin."))
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST, DELETE")
		WriteProblem(w, r, problem(http.StatusMethodNotAllowed, rejectMethod, "A ticket is made with POST. DELETE takes the cookie away."))
		return
	}
	kept := r.URL.Query().Get("keep") == "1"
	if !t.gate.rights.Needed(rights.Subscribe) {
		if kept && t.gate.rights.Needed(rights.Publish) {
			t.keepPublisher(w, r)
			return
		}
		WriteProblem(w, r, problem(http.StatusNotFound, rejectTicketOff, "No ticket is needed: everybody may subscribe."))
		return
	}
	if refusal := t.asks.refuse(r); refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	made, denial := t.gate.rights.Ticket(r, func(who *rights.Holder) string {
		if topic := r.URL.Query().Get("topic"); topic != "" {
			return topic
		}
		if topics := t.gate.readable(who); len(topics) > 0 {
			return topics[0]
		}
		return ""
	})
	publishes := made.Holder != nil && len(made.Holder.Grants(rights.Publish)) > 0
	if denial != nil && !(kept && publishes) {
		WriteProblem(w, r, denied(denial))
		return
	}
	if kept && !keep(w, r) {
		return
	}
	if denial != nil { // it reads nothing
		writeKept(w, made.Holder)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"ticket": made.Text, "topic": made.Topic, "expires": made.Expires.UTC().Format(time.RFC3339),
		"topics": t.gate.readable(made.Holder),
		"allows": map[rights.Action][]string{
			rights.Subscribe: made.Holder.Grants(rights.Subscribe), rights.Publish: made.Holder.Grants(rights.Publish),
		},
	})
}

// keepPublisher has the browser keep a token where nobody needs one to read: no ticket
// is made.
func (t *ticketHandler) keepPublisher(w http.ResponseWriter, r *http.Request) {
	if refusal := t.asks.refuse(r); refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	who, refusal := t.gate.publisher(r, "")
	if refusal == nil && r.Header.Get("Authorization") == "" { // the cookie itself
		refusal = problem(http.StatusUnauthorized, rights.ReasonToken, "This needs the header Authorization: Bearer TOKEN.")
	}
	if refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	if keep(w, r) {
		writeKept(w, who)
	}
}

// writeKept says what a token allows that is kept to publish: there is no ticket.
func writeKept(w http.ResponseWriter, who *rights.Holder) {
	writeJSON(w, http.StatusOK, map[string]any{"allows": map[rights.Action][]string{rights.Publish: who.Grants(rights.Publish)}})
}

// maxCookie is how long a cookie browsers take, its name included.
const maxCookie = 4096

// keep has the browser keep the token of the header Authorization, out of reach of
// scripts, until it is closed. It answers and returns false where that cannot be.
func keep(w http.ResponseWriter, r *http.Request) bool {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	cookie := &http.Cookie{
		Name: rights.Cookie, Value: strings.TrimSpace(token), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
	refuse := func(why string) bool {
		WriteProblem(w, r, problem(http.StatusBadRequest, rights.ReasonToken, why))
		return false
	}
	switch {
	case !rights.SameOrigin(r):
		WriteProblem(w, r, problem(http.StatusForbidden, rights.ReasonCookieOrigin, "A token is kept for a page of this server's own origin."))
		return false
	case cookie.Valid() != nil:
		return refuse("The token has characters that a cookie cannot carry.")
	case len(rights.Cookie)+1+len(cookie.Value) > maxCookie:
		return refuse("The token is too long for a cookie.")
	}
	http.SetCookie(w, cookie)
	return true
}
