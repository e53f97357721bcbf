package e2e_test

import "testing"

// A server that hangs keeps its streams open. The picture says of when it is, until the
// server goes on.
func TestStreamsViewOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-publish-rate", "0")
	p := openPage(t, s.url()+"/streams")
	p.wait(`document.querySelectorAll('.band').length === 1 && !document.getElementById('bands').hasAttribute('data-stale')`)
	s.freeze()
	p.wait(`document.getElementById('bands').hasAttribute('data-stale') && document.getElementById('bands-empty').checkVisibility() && document.getElementById('bands-empty').textContent.startsWith('As it was at ')`)
	s.thaw()
	p.wait(`!document.getElementById('bands').hasAttribute('data-stale') && !document.getElementById('bands-empty').checkVisibility()`)
}
