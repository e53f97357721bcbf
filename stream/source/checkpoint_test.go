package source_test

import (
	"bytes"
	"strings"
	"testing"

	"weir/stream/eventlog"
	"weir/stream/source"
)

func TestCheckpointRefused(t *testing.T) {
	place := func(fields string) string { return `{"v":1,"path":"x","files":[{` + fields + `}]}` }
	for _, code := range []string{
		"", "null", "[]", "7", `"x"`, `{}`, `{"v":0}`, `{"v":2,"path":"x"}`, `{"v":1,"path":7}`,
		place(`"offset":-1`), place(`"offset":1`), place(`"offset":1,"length":2,"before":"x"`), place(`"offset":9,"length":-1,"before":"x"`),
		place(`"offset":9,"length":1`), place(`"offset":9999,"length":1025,"before":"x"`), place(`"offset":0,"before":"x"`), place(`"inode":-1`),
		`{"v":1,"path":"x","files":[` + strings.Repeat(`{"offset":0},`, 64) + `{"offset":0}]}`,
		`{"v":1,"path":"` + strings.Repeat("x", 70_000) + `"}`,
	} {
		if _, err := source.ParseCheckpoint([]byte(code)); err == nil {
			t.Errorf("%.100s is accepted", code)
		}
	}
	for _, code := range []string{`{"v":1,"path":"x"}`, place(`"offset":0`), place(`"inode":7,"offset":9,"length":9,"before":"x","over":true`)} {
		if _, err := source.ParseCheckpoint([]byte(code)); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// What a checkpoint says is refused, or can be gone on with, and comes back as
// it was.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(`{"v":1,"path":"/a","host":"h","time":"2026-11-27T00:00:00Z","files":[{"inode":7,"offset":9,"before":"00","length":9,"over":true}]}`))
	f.Add([]byte(`{"v":1,"path":"/a","files":[{"offset":0}]}`))
	f.Fuzz(func(t *testing.T, code []byte) {
		again, err := source.ParseCheckpoint(code)
		if err != nil {
			return
		}
		once, err := source.ParseCheckpoint(again)
		if err != nil || !bytes.Equal(once, again) {
			t.Errorf("%q becomes %q, %v", again, once, err)
		}
	})
}

func FuzzSpec(f *testing.F) {
	for _, spec := range []string{"sensor", "a=file:/x=y:z", "=", ":", "a=b=c", "a=exec:", "\x00=http"} {
		f.Add(spec)
	}
	kinds := source.Standard(strings.NewReader(""), nil)
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := kinds.Parse(text)
		if err != nil {
			return
		}
		if eventlog.CheckTopic(spec.Topic) != nil || !strings.HasSuffix(text, spec.Argument) || !strings.Contains(text, spec.Kind.Name) {
			t.Errorf("%q is read as %+v", text, spec)
		}
		if s, err := spec.Open(); (s == nil) != (err != nil) && spec.Kind.Name != "http" && spec.Kind.Name != "sensor" && spec.Kind.Name != "host" {
			t.Errorf("%q opens %v, %v", text, s, err)
		}
	})
}
