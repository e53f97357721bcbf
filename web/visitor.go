package web

import (
	"context"
	"net/http"

	"weir/stream"
	"weir/web/rights"
)

// A visitor is who asks what is going on. Without a right, where reading needs one,
// its Holder allows nothing.
type visitor struct {
	*rights.Holder
	operator bool            // the request came to the admin address
	refusal  *stream.Refusal // why the visitor has no right
}

// turnedAway refuses a visitor without a right, and reports whether it did.
func (v *visitor) turnedAway(w http.ResponseWriter, r *http.Request) bool {
	if v.refusal != nil {
		WriteProblem(w, r, v.refusal)
	}
	return v.refusal != nil
}

type adminKey struct{}

// asAdmin marks the requests that came to the admin address.
func asAdmin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), adminKey{}, true)))
	})
}

func isAdmin(r *http.Request) bool { return r.Context().Value(adminKey{}) != nil }
