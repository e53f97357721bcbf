package web

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
)

// A Templates renders the HTML of the page. Its methods may be called
// concurrently. They write nothing at all when they fail.
type Templates struct{ set *template.Template }

// ParseTemplates parses index.html, item.html, journey.html and traces.html of
// fsys, or of the embedded files when fsys is nil.
func ParseTemplates(fsys fs.FS) (*Templates, error) {
	if fsys == nil {
		fsys = sub(templateFS, "templates")
	}
	set, err := template.New("").Funcs(template.FuncMap{"ms": formatMS, "share": formatShare, "short": short, "asset": assetURL, "pace": pace}).
		ParseFS(fsys, "index.html", "item.html", "journey.html", "traces.html")
	if err != nil {
		return nil, fmt.Errorf("parsing templates: %w", err)
	}
	return &Templates{set}, nil
}

func (t *Templates) render(w io.Writer, name string, data any) error {
	var buf bytes.Buffer
	if err := t.set.ExecuteTemplate(&buf, name, data); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// worthPacking is from how many bytes on HTML is compressed: what fits into a packet
// is not.
const worthPacking = 1400

// html renders to a buffer first, so that a failure does not leave half a page.
func (s *Server) html(w http.ResponseWriter, r *http.Request, status int, render func(*bytes.Buffer) error) {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		s.opts.Logger.ErrorContext(r.Context(), "rendering failed", "path", r.URL.Path, "error", err)
		WriteProblem(w, r, problem(http.StatusInternalServerError, "internal", "The server could not render this; its log says why."))
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
