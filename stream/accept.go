package stream

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// accepts reports whether an Accept header lets text/event-stream through.
func accepts(values []string) bool {
	if len(values) == 0 {
		return true
	}
	for media := range mediaRanges(values) {
		if media == "text/event-stream" || media == "text/*" || media == "*/*" {
			return true
		}
	}
	return false
}

// wantsOnlyStream reports whether an Accept header lets nothing but
// text/event-stream through, as that of every EventSource, or HTML alone beside
// it, as that of htmx 4. A browser that shows a page accepts */* as well.
func wantsOnlyStream(values []string) bool {
	only := false
	for media := range mediaRanges(values) {
		switch media {
		case "text/event-stream":
			only = true
		case "text/html":
		default:
			return false
		}
	}
	return only
}

// mediaRanges returns what an Accept header lets through (RFC 9110, section
// 12.5.1): each media range whose weight is not zero.
func mediaRanges(values []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, value := range values {
			for part := range strings.SplitSeq(value, ",") {
				media, params, err := mime.ParseMediaType(part)
				if err != nil {
					continue
				}
				if q, err := strconv.ParseFloat(params["q"], 64); params["q"] != "" && (err != nil || q <= 0) {
					continue
				}
				if !yield(media) {
					return
				}
			}
		}
	}
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsGzip(h http.Header) bool {
	star := false
	for _, value := range h.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(value, ",") {
			coding, params, _ := strings.Cut(part, ";")
			weight := 1.0
			if _, q, ok := strings.Cut(strings.ReplaceAll(params, " ", ""), "q="); ok {
				if f, err := strconv.ParseFloat(q, 64); err == nil {
					weight = f
				}
			}
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return weight > 0
			case "*":
				star = weight > 0
			}
		}
	}
	return star
}
