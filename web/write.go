package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
)

// writeJSON answers with a value that is never stored.
func writeJSON(w http.ResponseWriter, status int, v any) {
	headJSON(w)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

// writeBody answers 200 with what is JSON already.
func writeBody(w http.ResponseWriter, body []byte) {
	headJSON(w)
	_, _ = w.Write(body) // the client has gone
}

// headJSON sets the headers of an answer that is JSON.
func headJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
}

// worthPacking is from how many bytes on HTML is compressed: what fits into a packet
// is not.
const worthPacking = 1400

// writeHTML answers with what is rendered: to a buffer first, so that a failure does
// not leave half a page.
func writeHTML(w http.ResponseWriter, r *http.Request, logger *slog.Logger, status int, render func(*bytes.Buffer) error) {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		logger.ErrorContext(r.Context(), "rendering failed", "path", r.URL.Path, "error", err)
		WriteProblem(w, r, problem(http.StatusInternalServerError, rejectInternal, "The server could not render this; its log says why."))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Encoding")
	if b.Len() < worthPacking || !accepts(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(status)
		_, _ = w.Write(b.Bytes())
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	pack := gzip.NewWriter(w)
	_, _ = pack.Write(b.Bytes()) // the client has gone
	_ = pack.Close()
}

// accepts reports whether an Accept-Encoding header names a coding, and does not
// rule it out by a weight of 0.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) != coding {
			continue
		}
		weight, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return !found || (err == nil && q > 0)
	}
	return false
}
