package stream

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A request is what a client asks for.
type request struct {
	topic, format string
	resume        *ID
	malformed     bool // it gave a last event ID that is none
}

func (h *Handler) parse(r *http.Request) (request, *Refusal) {
	var ask request
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return ask, &Refusal{Status: http.StatusMethodNotAllowed, Reason: "method", Detail: "A stream is read with GET."}
	}
	if !accepts(r.Header.Values("Accept")) {
		return ask, &Refusal{Status: http.StatusNotAcceptable, Reason: "accept", Detail: "This address answers with text/event-stream, which the Accept header of the request does not allow."}
	}
	query := r.URL.Query()
	topics := h.Hub.Topics()
	ask.topic = query.Get("topic")
	if ask.topic == "" && len(topics) > 0 {
		ask.topic = topics[0]
	}
	if i := slices.Index(topics, ask.topic); i >= 0 {
		ask.topic = topics[i] // not a piece of the request, which would be kept with it
	} else {
		return ask, &Refusal{Status: http.StatusNotFound, Reason: "topic",
			Detail: fmt.Sprintf("There is no topic %.80q. Topics are: %s.", ask.topic, strings.Join(topics, ", "))}
	}
	ask.format = query.Get("format")
	if ask.format == "" {
		ask.format = h.Format
	}
	if ask.format == "" {
		ask.format = FormatJSON
	}
	formats := append(slices.Sorted(maps.Keys(h.Hub.opts.Formats)), FormatJSON)
	if i := slices.Index(formats, ask.format); i >= 0 {
		ask.format = formats[i] // likewise
	} else {
		return ask, &Refusal{Status: http.StatusBadRequest, Reason: "format",
			Detail: fmt.Sprintf("There is no format %.80q. Formats are: %s.", ask.format, strings.Join(formats, ", "))}
	}
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = query.Get("last_event_id")
	}
	if last != "" {
		if id, err := ParseID(last); err == nil {
			ask.resume = &id
		} else {
			ask.malformed = true
		}
	}
	return ask, nil
}

// accepts reports whether an Accept header lets text/event-stream through.
func accepts(values []string) bool {
	if len(values) == 0 {
		return true
	}
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			if media != "text/event-stream" && media != "text/*" && media != "*/*" {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); params["q"] == "" || err == nil && q > 0 {
				return true
			}
		}
	}
	return false
}
