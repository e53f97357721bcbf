package web

import (
	"net/http"
)

// routes is what one listener serves. Its answers have slots of their own, so
// that operators are answered while clients wait.
type routes struct {
	mux        *http.ServeMux
	answers    answers
	sharing    *sharing
	instrument func(route string, next http.Handler) http.Handler
}

// own serves a path to pages of this site.
func (m routes) own(path string, h http.Handler) {
	m.mux.Handle(path, m.answers.bound(m.instrument(path, h)))
}

// shared serves a path to pages of the origins that are let in, too.
func (m routes) shared(path string, h http.Handler) {
	m.mux.Handle(path, m.answers.bound(m.sharing.share(m.instrument(path, h))))
}

// stream serves a path whose answers last: they have slots of their own, see
// [Server.Subscribe].
func (m routes) stream(path string, h http.Handler) {
	m.mux.Handle(path, m.sharing.share(m.instrument(path, h)))
}

// topic serves topicRoute: each of its uses as a path of its own would be.
func (m routes) topic(publish, page, read http.Handler) {
	bound := func(h http.Handler) http.Handler { return m.answers.bound(m.instrument(topicRoute, h)) }
	m.mux.Handle(topicRoute, m.sharing.share(topicAddress(bound(publish), bound(page), m.instrument(topicRoute, read))))
}

// probe serves a path however many requests wait.
func (m routes) probe(path string, h http.Handler) {
	m.mux.Handle(path, deadline(m.instrument(path, h)))
}

// plain serves a path that is not observed.
func (m routes) plain(path string, h http.HandlerFunc) {
	m.mux.Handle(path, m.answers.bound(h))
}

// get refuses what is neither GET nor HEAD.
func get(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			WriteProblem(w, r, problem(http.StatusMethodNotAllowed, rejectMethod, "This address is read with GET."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	WriteProblem(w, r, problem(http.StatusNotFound, rejectPath, "There is nothing at this address. The page is at /, the stream at /sse-stream."))
}
