package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"io/fs"

	"weir/stream"
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
	set, err := template.New("").Funcs(template.FuncMap{"ms": formatMS, "share": formatShare, "size": formatSize, "short": short, "asset": assetURL, "pace": pace}).
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

// Page writes the page.
func (t *Templates) Page(w io.Writer, p Page) error { return t.render(w, "index.html", p) }

// Item writes the fragment of one event: a single element of class data-item.
func (t *Templates) Item(w io.Writer, it Item) error { return t.render(w, "item.html", it.row()) }

// AppendEvent renders an event as the fragment that the page takes in: it is
// the "html" format of a hub.
func (t *Templates) AppendEvent(dst []byte, topic string, e *stream.Event) (name string, data []byte, err error) {
	b := bytes.NewBuffer(dst)
	err = t.Item(b, Item{
		ID: e.ID.String(), Time: e.Time, Accepted: e.Origin.Published, Traceparent: e.Traceparent, Topic: topic, Name: e.Name, Type: e.Type, Subject: e.Subject,
		Data: e.Data, ContentType: e.ContentType,
	})
	return "", bytes.TrimSpace(b.Bytes()), err
}

// Journey writes the fragment that fills the journey panel.
func (t *Templates) Journey(w io.Writer, j Journey) error { return t.render(w, "journey.html", j) }

// Traces writes the fragment of the list.
func (t *Templates) Traces(w io.Writer, list TraceList) error {
	return t.render(w, "traces.html", list)
}
