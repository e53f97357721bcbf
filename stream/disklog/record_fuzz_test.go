package disklog_test

import (
	"encoding/json"
	"testing"

	"weir/stream/disklog"
)

// A record whose checksum is right, whoever wrote it, is read as an event that
// can be served, or is refused.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{2, 0, 2, '{', '}', '1'})
	f.Add([]byte{1, 2, '{', '}', '1'})
	f.Add(append([]byte{2, 1}, make([]byte, 40)...))
	f.Add([]byte{2, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := disklog.DecodeRecord(value)
		if err != nil {
			return
		}
		if line, err := e.AppendCloudEvent(nil); err != nil || !json.Valid(line) {
			t.Errorf("%q is read as %+v, and served as %q, %v", value, e, line, err)
		}
	})
}

// The state of a topic that is accepted is written as it was.
func FuzzState(f *testing.F) {
	f.Add(make([]byte, 49))
	f.Add(append([]byte{1}, make([]byte, 48)...))
	f.Add(append([]byte{2}, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, value []byte) {
		if written, again, err := disklog.RewriteState(value); err == nil && written != again {
			t.Errorf("%q is read as %s, and when it is written as %s", value, written, again)
		}
	})
}
