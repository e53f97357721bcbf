package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// What -play says at the start can be pasted: a line that reads, one that publishes,
// and one that goes to the page.
func TestPlaySaysWhatToTry(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play", "-source", "t=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	line := regexp.MustCompile(`(?m)^  (\S.* )` + regexp.QuoteMeta(s.url()+"/t/demo") + `$`)
	var lines [][]string
	eventually(t, func() bool {
		lines = line.FindAllStringSubmatch(s.log.String(), -1)
		return len(lines) == 3
	}, func() string { return "it says " + s.log.String() })
	if lines[0][1] != "curl -N " || lines[1][1] != "curl -d 'hello' " || lines[2][1] != "xdg-open " {
		t.Fatalf("it says to try %q", lines)
	}
	reader := subscribe(t, s.url()+"/t/demo", nil)
	if _, err := exec.LookPath("curl"); err != nil {
		send(t, "POST", s.url()+"/t/demo", "hello", "Content-Type", "application/x-www-form-urlencoded") // as curl does
	} else if text, err := exec.Command("sh", "-c", "curl -sS -d 'hello' "+s.url()+"/t/demo").CombinedOutput(); err != nil || !strings.Contains(string(text), `"ids"`) {
		t.Errorf("%v: %s", err, text)
	}
	if m := reader.event(); m.data != "hello" {
		t.Errorf("%+v", m)
	}
	p := openPage(t, s.url()+"/t/demo")
	p.connect()
	p.wait("document.getElementById('sse-feed').innerText.includes('hello')")
}

// What the page says of an event that was published is so while the line is cut, while there
// is no stream, and after.
func TestPublishedWhileNothingCanCome(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url()+"/t/demo")
	p.click("#publish")
	p.says("#try-said", "Published. Press Connect to see it come.")
	p.connect()
	p.says("#try-said", "Published.")
	p.total(1)
	p.click("#clear")
	p.click("#cut")
	p.says("#feed-empty p", "The line is cut. The page comes back by itself.")
	p.click("#publish")
	p.wait(`/^(Published\. The line is cut\.|Cut for \d+ s: 0 lost)/.test(document.getElementById('try-said').textContent)`)
	p.wait(`/^Cut for \d+ s: 0 lost, 1 replayed\.$/.test(document.getElementById('try-said').textContent)`)
}

// played is what a server with -play has made so far.
func (s *server) played() (topics, entries int) {
	s.t.Helper()
	var h struct {
		OnDemand map[string]int `json:"topics_on_demand"`
		Topics   map[string]struct{ Entries int }
	}
	s.getJSON("/sse-health", &h)
	for _, topic := range h.Topics {
		entries += topic.Entries
	}
	return h.OnDemand["*"], entries
}

// With -play a server is for this machine's own programs and its own page: a
// foreign page, and one whose name was made to point here, get nowhere.
func TestPlayIsForThisMachine(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play", "-source", "t=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()

	// A foreign page tries a form, requests, a picture and a stream.
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>evil</title>
<iframe name="sink"></iframe>
<form id="f" method="post" enctype="text/plain" target="sink" action="%[1]s/t/form"><input name="a" value="b"></form>
<img src="%[1]s/t/picture">
<script>
  window.done = false
  document.getElementById('f').submit()
  const tries = [
    fetch('%[1]s/t/fetch', { method: 'POST', mode: 'no-cors', body: 'x' }),
    fetch('%[1]s/publish?topic=t', { method: 'POST', mode: 'no-cors', body: 'x', headers: { 'Content-Type': 'text/plain' } }),
    fetch('%[1]s/t/cors', { method: 'POST', body: 'x' }),
    fetch('%[1]s/sse-health'),
    new Promise((resolve) => { const e = new EventSource('%[1]s/t/stream'); e.onopen = e.onerror = () => { e.close(); resolve() } }),
  ]
  Promise.allSettled(tries).then((all) => { window.read = all.slice(2, 4).map((r) => r.status).join(); window.done = true })
</script>`, s.url())
	}))
	defer foreign.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(foreign.URL, "http://"), ":")
	p := openPage(t, "http://evil.test:"+port+"/")
	p.expect(".*") // the browser says that it was refused
	p.wait("window.done")
	if got := eval[string](p, "window.read"); got != "rejected,rejected" {
		t.Errorf("a foreign page reads answers: %s", got)
	}

	// A page whose name was rebound is of the server's own origin, for a browser.
	_, own, _ := strings.Cut(s.addr, ":")
	rebound := openPage(t, "http://evil.test:"+own+"/t/rebound")
	rebound.expect(".*")
	if got := eval[string](rebound, "document.body.innerText"); !strings.Contains(got, "-host") {
		t.Errorf("a name that was rebound shows %.200q", got)
	}
	if got := eval[int](rebound, "fetch('/sse-health').then((r) => r.status)"); got != 421 {
		t.Errorf("a name that was rebound reads health: %d", got)
	}

	// What a proxy passes on.
	request, err := http.NewRequest("POST", s.url()+"/t/proxied", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "192.0.2.1")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != 403 || !strings.Contains(string(body), "-play") {
		t.Errorf("what a proxy passes on: %s %s", answer.Status, body)
	}
	// So does a page that a browser was given through one.
	target, err := url.Parse(s.url())
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer between.Close()
	passed := openPage(t, between.URL+"/t/passed")
	passed.expect(".*")
	if got := eval[string](passed, "document.body.innerText"); !strings.Contains(got, "-play") {
		t.Errorf("through a proxy a browser is shown %.200q", got)
	}
	if got := eval[int](passed, "fetch('/t/passed', { method: 'POST', body: 'x' }).then((r) => r.status)"); got != 403 {
		t.Errorf("through a proxy a page publishes: %d", got)
	}
	if topics, entries := s.played(); topics != 0 || entries != 0 {
		t.Fatalf("%d topics and %d events were made by others", topics, entries)
	}

	// The server's own page, and curl.
	mine := openPage(t, s.url()+"/t/demo")
	mine.connect()
	if got := eval[int](mine, "fetch('/t/demo', { method: 'POST', body: 'hello from the page' }).then((r) => r.status)"); got != 200 {
		t.Errorf("the page publishes: %d", got)
	}
	resp, err := http.Post(s.url()+"/t/demo", "application/x-www-form-urlencoded", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("curl publishes: %s", resp.Status)
	}
	mine.wait("document.body.innerText.includes('hello from the page')")
	if topics, _ := s.played(); topics != 1 {
		t.Errorf("%d topics were made", topics)
	}
}
