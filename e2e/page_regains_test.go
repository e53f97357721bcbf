package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A tokenFile is a server with its file of tokens, which the server reads anew on SIGHUP.
type tokenFile struct {
	*server
	path string
}

func startWithTokens(t *testing.T, lines ...string) *tokenFile {
	t.Helper()
	f := &tokenFile{path: filepath.Join(t.TempDir(), "tokens")}
	f.write(t, lines)
	f.server = startServer(t, "-token-file", f.path, "-source", "orders=http")
	return f
}

func (f *tokenFile) write(t *testing.T, lines []string) {
	t.Helper()
	if err := os.WriteFile(f.path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// holds gives the file these lines, and waits until a token is good for orders, or is not.
func (f *tokenFile) holds(token string, good bool, lines ...string) {
	f.t.Helper()
	f.write(f.t, lines)
	f.signal(syscall.SIGHUP)
	var last string
	eventually(f.t, func() bool {
		req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.url()+"/t/orders", nil)
		if err != nil {
			f.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "text/event-stream")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			last = err.Error()
			return false
		}
		resp.Body.Close()
		last = resp.Status
		return (resp.StatusCode == http.StatusOK) == good
	}, func() string { return fmt.Sprintf("reading with %s: %s", token, last) })
}

const (
	readsOrders     = "subscribe SSS orders"
	alsoReadsOrders = "subscribe UUU orders"
	publishesOrders = "publish PPP orders"
	allowsOrders    = "Your token reads orders, and publishes nothing."
	publishesNone   = "Your token publishes nothing. The line with curl takes another one."
)

// takenBack returns a page whose right to read has ended while it read, and which says so.
func takenBack(t *testing.T) (*tokenFile, *page) {
	t.Helper()
	f := startWithTokens(t, readsOrders, alsoReadsOrders, publishesOrders)
	p := openPage(t, f.url()+"/t/orders")
	p.expect(status(401), status(403))
	p.give("SSS")
	p.visible("#allowed")
	p.connect()
	f.publish("orders", seq(0, 1)...)
	p.total(1)
	f.holds("SSS", false, alsoReadsOrders, publishesOrders)
	p.visible("#ask")
	p.says("#ask-said", "The last one was taken back.")
	p.says("#try-said", "Publishing needs a token here: give the page one.")
	p.state("disconnected")
	return f, p
}

// reads waits until a page is connected, says what its token allows, and asks for none.
func (p *page) reads() {
	p.t.Helper()
	p.hidden("#ask")
	p.says("#allowed p", allowsOrders)
	p.says("#try-said", publishesNone)
	p.state("connected")
	p.total(1) // what it had counted before
	p.click("#forget")
	p.visible("#ask")
	p.hidden("#allowed")
}

// A page whose right to read was taken back asks no longer once it reads again: the token
// may be good again.
func TestPageReadsAgainByTheSameToken(t *testing.T) {
	t.Parallel()
	f, p := takenBack(t)
	f.holds("SSS", true, readsOrders, alsoReadsOrders, publishesOrders)
	p.click("#connect")
	p.reads()
}

// Likewise, where another tab of the browser was given another token.
func TestPageReadsByTheTokenOfAnotherTab(t *testing.T) {
	t.Parallel()
	f, p := takenBack(t)
	beside := p.openBeside(f.url() + "/t/orders")
	beside.expect(status(401), status(403))
	beside.give("UUU")
	beside.visible("#allowed")
	p.click("#connect")
	p.reads()
}

// A page goes on asking where it reads by the stream of another tab, and the browser keeps no
// token any more: to load it again would change nothing, and would be done again for ever.
func TestPageAsksWhileAnotherTabReads(t *testing.T) {
	t.Parallel()
	f := startWithTokens(t, readsOrders)
	p := openPage(t, f.url()+"/t/orders")
	p.expect(status(401), status(403))
	p.give("SSS")
	p.visible("#allowed")
	p.connect()
	p.run(`fetch('/ticket', { method: 'DELETE' })`)
	beside := p.openBeside(f.url() + "/t/orders")
	beside.expect(status(401), status(403))
	beside.visible("#ask")
	beside.run(`void (window.same = true)`)
	beside.connect()
	beside.wait(`performance.getEntriesByName(location.href, 'resource').some((asked) => asked.responseEnd > 0)`)
	beside.stays(time.Second, `window.same && document.getElementById('ask').checkVisibility() && document.body.dataset.state === 'connected'`)
}
