package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// A source that waits for its file says nothing on the stream. The page tells of it until
// the topic is well.
func TestTopicThatIsUnwellIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.log")
	s := startServer(t, "-source", "t=file:"+path)
	p := openPage(t, s.url())
	p.connect()
	p.wait(`document.querySelector('[data-notice=stream-error]')?.checkVisibility() && document.querySelector('[data-notice=stream-error]').textContent.includes('has failed: what it reads is not there')`)
	if err := os.WriteFile(path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.total(1)
	p.wait(`!document.querySelector('[data-notice=stream-error]')?.checkVisibility()`)
}
