package web

import (
	"fmt"
	"net/http"
	"strings"

	"weir/stream"
	"weir/stream/eventlog"
)

// topicRoute is the address of one topic: who posts to it publishes, who gets it
// reads the stream, and a browser that goes there gets the page.
const topicRoute = "/t/{topic}"

// topicAddress serves topicRoute, by what a request is for.
func topicAddress(publish, page, read http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if err := eventlog.CheckTopic(r.PathValue("topic")); err != nil {
			WriteProblem(w, r, noSuchName(err))
			return
		}
		switch r.Method {
		case http.MethodPost, http.MethodPut:
			publish.ServeHTTP(w, r)
		case http.MethodGet, http.MethodHead:
			if navigates(r) {
				page.ServeHTTP(w, r)
			} else {
				read.ServeHTTP(w, r)
			}
		default:
			w.Header().Set("Allow", "GET, HEAD, POST, PUT")
			WriteProblem(w, r, problem(http.StatusMethodNotAllowed, rejectMethod, "A topic is read with GET, and published to with POST or PUT."))
		}
	})
}

// noSuchName refuses a topic for what [eventlog.CheckTopic] says of its name.
func noSuchName(err error) *stream.Refusal {
	return problem(http.StatusNotFound, rejectTopic, fmt.Sprintf("There can be no such topic: %v.", err))
}

// navigates reports whether a browser goes to the address, rather than a page or
// a program that reads it.
func navigates(r *http.Request) bool {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return strings.Contains(accept, "text/html") && !strings.Contains(accept, "text/event-stream")
}

// addressed lets the path say which topic is read. There the payload itself is
// what is read, unless the query says otherwise.
func addressed(r *http.Request, sub *stream.Subscription) *stream.Refusal {
	topic := r.PathValue("topic")
	if topic == "" {
		return nil
	}
	if sub.Topic != "" && sub.Topic != topic {
		return problem(http.StatusBadRequest, rejectTopic, "The address names the topic; leave topic= out.")
	}
	sub.Topic = strings.Clone(topic) // not a piece of the request, which would be kept with it
	if sub.Format == "" {
		sub.Format = stream.FormatData
	}
	return nil
}
