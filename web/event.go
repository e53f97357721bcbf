package web

import (
	"bytes"

	"weir/stream"
)

// AppendEvent renders an event as the fragment that the page takes in: it is
// the "html" format of a hub.
func (t *Templates) AppendEvent(dst []byte, topic string, e *stream.Event) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	err := t.Item(b, Item{
		ID: e.ID.String(), Time: e.Time, Traceparent: e.Traceparent, Topic: topic, Type: e.Type,
		Data: e.Data, ContentType: e.ContentType,
	})
	return bytes.TrimSpace(b.Bytes()), err
}
