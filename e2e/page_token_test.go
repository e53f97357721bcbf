package e2e_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// give types a token into the page's question, and sends it.
func (p *page) give(token string) {
	p.t.Helper()
	p.visible("#ask-token")
	p.run(`void (document.getElementById('ask-token').value = '')`)
	p.do(chromedp.SendKeys(chromedp.CSS("#ask-token"), token))
	p.click("#ask-form button")
}

// Where reading needs a right the page asks for a token, once: other tabs, and a
// reload, find it kept. The page says what it allows, reads and publishes by it, and
// no script can read it. What it does not allow, the page does not know of.
func TestPageAsksForAToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("subscribe r3ad orders,run.*\npublish r3ad orders\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "-token-file", file, "-source", "secret=http", "-source", "orders=http", "-topics", "run.*")
	p := openPage(t, s.url()+"/")
	p.expect(status(401), status(403))
	p.visible("#ask")
	p.hidden("#allowed")
	p.wait(`document.getElementById('publish').ariaDisabled === 'true'`)
	if text := eval[string](p, "document.documentElement.outerHTML"); strings.Contains(text, "orders") || strings.Contains(text, "secret") {
		t.Error("a page without a token names topics")
	}
	p.give("guess")
	p.wait(`document.getElementById('ask-said').textContent.includes('not valid')`)
	p.give("r3ad")
	p.visible("#allowed")
	p.hidden("#ask")
	if got := p.text("#allowed p"); got != "Your token reads orders, run.*, and publishes to orders." {
		t.Errorf("the page says %q", got)
	}
	if text := eval[string](p, "document.documentElement.outerHTML + document.cookie + JSON.stringify(sessionStorage) + JSON.stringify(localStorage)"); strings.Contains(text, "secret") || strings.Contains(text, "r3ad") {
		t.Errorf("scripts can read the token, or the page names what it does not allow")
	}
	p.connect()
	p.click("#publish")
	p.total(1)
	p.click(`#sse-feed .data-item`)
	p.click("#raw-frame")
	p.wait(`document.querySelector('.raw-curl')?.textContent.startsWith('curl -H "Authorization: Bearer $TOKEN" ')`)

	beside := p.openBeside(s.url() + "/t/run.1")
	beside.visible("#allowed")
	beside.hidden("#ask")
	beside.connect()
	p.reload()
	p.visible("#allowed")

	// A token that does not read the topic of the page is kept for those that it reads.
	elsewhere := openPage(t, s.url()+"/t/secret")
	elsewhere.expect(status(401), status(403))
	elsewhere.give("r3ad")
	elsewhere.visible("#allowed")

	// The page is loaded again once the server has forgotten, however long that takes.
	p.run(`void (window.asked = window.fetch, window.fetch = async (url, options) => {
		if (options?.method === 'DELETE') await new Promise((r) => setTimeout(r, 300));
		return asked(url, options) })`)
	p.click("#forget")
	p.visible("#ask")
	if got := eval[int](p, `fetch('/t/orders', { headers: { Accept: 'text/event-stream' } }).then((r) => r.status)`); got != 401 {
		t.Errorf("a token that was forgotten still reads: %d", got)
	}
}

// Where publishing alone needs a right, the page asks for it when it is to publish, and
// again when the one that is kept is good no longer.
func TestPageAsksForAPublishersToken(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "t=http", "-publish-token", "s3cret")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url())
	p.expect(status(401))
	p.connect()
	p.hidden("#ask")
	p.says("#try-said", "Publishing needs a token here: Publish asks for it. The other two try this browser’s own line.")
	p.click("#publish")
	p.wait(`document.activeElement.id === 'ask-token'`)
	p.says("#try-said", "Publishing needs a token here: give the page one.")
	p.give("guess")
	p.wait(`document.getElementById('ask-said').textContent.includes('not valid')`)
	p.give("s3cret")
	p.visible("#allowed")
	p.says("#allowed p", "Your token publishes to every topic.")
	p.wait(`document.body.dataset.state === 'connected'`)
	p.click("#publish")
	p.total(1)
	p.run(`fetch('/ticket', { method: 'DELETE' })`) // in another tab
	p.click("#publish")
	p.visible("#ask")
	p.hidden("#allowed")
	p.says("#ask-said", "The last one is good no longer.")
}

// A token that only publishes is taken for that, where reading needs one, too: the page
// goes on asking for one to read. When it is taken back, it does not publish either.
func TestPagePublishesWithoutReading(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "orders=http", "-publish-token", "p0st", "-subscribe-token", "r3ad")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url()+"/?topic=orders")
	p.expect(status(401), status(403))
	p.says("#try-said", "Publishing needs a token here: give the page one.")
	p.give("p0st")
	p.visible("#allowed")
	p.says("#allowed p", "Your token publishes to every topic, and reads nothing.")
	p.visible("#ask")
	p.wait(`document.getElementById('publish').ariaDisabled === 'false'`)
	reader := subscribe(t, s.url()+"/t/orders", nil, "Authorization", "Bearer r3ad")
	p.click("#publish")
	p.says("#try-said", "Published. To see it come, the page needs a token that reads.")
	if got := reader.event(); got.data != "hello" {
		t.Errorf("what the page published is %q", got.data)
	}
	p.click("#connect")
	p.says("#error-detail", "This token reads nothing.")
	p.run(`document.getElementById('try-text').value = 'half a sentence'; document.getElementById('try-text').dispatchEvent(new Event('input', { bubbles: true }))`)

	p.run(`fetch('/ticket', { method: 'DELETE' })`) // in another tab
	p.click("#publish")
	p.hidden("#allowed")
	p.says("#try-said", "Publishing needs a token here: give the page one.")
	p.give("r3ad")
	p.says("#allowed p", "Your token reads every topic, and publishes nothing.")
	p.hidden("#ask")
	p.state("connected") // Connect was pressed before
	p.wait(`document.getElementById('try-text').value === 'half a sentence'`)
	p.says("#try-said", "Your token publishes nothing. The line with curl takes another one.")
}

// Where publishing is off the page says so, and how it is turned on, before anybody tries.
func TestPageSaysThatPublishingIsOff(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "t=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url())
	p.wait(`document.getElementById('publish').ariaDisabled === 'true'`)
	p.says("#try-said", "Publishing is off. Start the server with -publish-token TOKEN (or WEIR_PUBLISH_TOKEN) to turn it on.")
	if eval[bool](p, `Boolean(document.getElementById('try-curl'))`) {
		t.Error("the page shows a line that publishes")
	}
	p.connect()
	p.click("#publish")
	p.says("#try-said", "Publishing is off. Start the server with -publish-token TOKEN (or WEIR_PUBLISH_TOKEN) to turn it on.")
	p.wait(`document.getElementById('cut').ariaDisabled === 'false'`)
}

// What is said of a token that is not good for the topic goes when another one is chosen.
func TestTokenForAnotherTopic(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("subscribe r3ad run.*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "-token-file", file, "-source", "secret=http", "-topics", "run.*")
	p := openPage(t, s.url())
	p.expect(status(403))
	hint := p.text("#ask-said")
	p.give("r3ad")
	p.says("#ask-said", "The token does not read what is listed. Open a topic that it reads, by its name, and use it then.")
	p.do(chromedp.SendKeys(chromedp.CSS("#topic-name"), "run.1"+kb.Enter))
	p.says("#ask-said", hint)
	p.give("r3ad")
	p.visible("#allowed")
	p.says("#allowed p", "Your token reads run.*, and publishes nothing.")
}

// When the right ends while the stream is open, the page says so and asks again.
func TestPageAsksAgain(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	token := func(life time.Duration) string {
		claims, _ := json.Marshal(map[string]any{"sub": "alice", "exp": time.Now().Add(life).Unix(), "weir": map[string]any{"subscribe": []string{"run.42"}}})
		b64 := base64.RawURLEncoding.EncodeToString
		text := b64([]byte(`{"alg":"EdDSA"}`)) + "." + b64(claims)
		return text + "." + b64(ed25519.Sign(private, []byte(text)))
	}
	s := newServer(t, "-jwt-keys", keys, "-source", "other=http", "-topics", "run.*")
	s.start()
	p := openPage(t, s.url()+"/t/run.42")
	p.expect(status(401), status(403))
	p.give(token(15 * time.Second)) // in which a machine that is busy opens the page again, too
	p.visible("#allowed")
	if got := p.text("#allowed p"); got != "Your token reads run.42, and publishes nothing." {
		t.Errorf("the page says %q", got)
	}
	p.connect()
	p.visible("#ask") // it has expired
	p.state("disconnected")
	p.hidden("#allowed")
	p.says("#try-said", "Publishing needs a token here: give the page one.")
	if said := p.text("#ask-said"); !strings.Contains(said, "expired") {
		t.Errorf("the page says %q", said)
	}
	p.give(token(time.Hour))
	p.visible("#allowed")
	p.state("connected") // as it was
	if got := eval[int](p, `fetch('/t/other', { headers: { Accept: 'text/event-stream' } }).then((r) => r.status)`); got != 403 {
		t.Errorf("another's topic: %d", got)
	}
}

// Before it has a token the page says nothing of a topic, in any view: it judges that when it
// has one. Any topic can be opened by its name until then.
func TestPageJudgesNoTopicWithoutAToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("subscribe few notes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "-subscribe-token", "sub", "-token-file", file, "-source", "orders=http", "-source", "notes=http", "-topics", "job.*")
	const noticed = `document.getElementById('notice-banner').checkVisibility()`
	for _, topic := range []string{"orders", "nothing"} {
		for _, view := range []string{"feed", "streams", "traces"} {
			p := openPage(t, s.url()+"/?topic="+topic+"&view="+view)
			p.expect(status(401), status(403), status(404))
			p.visible("#ask")
			p.wait(`document.querySelector('#topics input:checked')?.value === %q`, topic)
			if eval[bool](p, noticed) {
				t.Errorf("%s, %s: the page says %q", topic, view, p.text("#notice-message"))
			}
			if view != "feed" {
				continue
			}
			p.give("sub")
			p.hidden("#ask")
			if topic == "orders" {
				p.connect()
				continue
			}
			p.wait(noticed + ` && document.getElementById('notice-message').textContent === 'There is no topic “nothing” here. Choose one that is listed.'`)
		}
	}
	few := openPage(t, s.url()+"/?topic=orders")
	few.expect(status(401), status(403))
	few.give("few")
	few.hidden("#ask")
	few.wait(noticed + ` && document.getElementById('notice-message').textContent === 'Your token does not read “orders”. Choose one that is listed.'`)
	p := openPage(t, s.url()+"/")
	p.expect(status(401), status(403))
	p.visible("#ask")
	p.do(chromedp.SendKeys(chromedp.CSS("#topic-name"), "orders"+kb.Enter))
	p.wait(`document.querySelector('#topics input:checked')?.value === 'orders'`)
	p.give("sub")
	p.hidden("#ask")
	p.connect()
}
