package main_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"weir/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// The application is documentation: it can be read in one sitting.
func TestItIsShort(t *testing.T) {
	lines := 0
	for _, name := range []string{"main.go", "page.html"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(text, []byte("\n"))
	}
	if lines >= 150 {
		t.Errorf("the application with its page has %d lines, want less than 150", lines)
	}
}

const token = "s3cret"

// A site is the application as it runs in production: two nodes of Weir over Redis
// and the app, behind nginx.
type site struct {
	redis *harness.Redis
	nodes []*harness.Node
	proxy *harness.Proxy

	binary, addr, key string
	app               *harness.Process
}

func startSite(t *testing.T) *site {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, kind string, der []byte, err error) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err == nil {
			err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	keys := file("keys.pem", "PUBLIC KEY", der, err)
	s := &site{redis: harness.StartRedis(t), addr: harness.FreeAddr(t)}
	der, err = x509.MarshalPKCS8PrivateKey(private)
	s.key = file("key.pem", "PRIVATE KEY", der, err)
	for _, name := range []string{"one", "two"} {
		s.nodes = append(s.nodes, harness.StartNode(t, name, "-redis", s.redis.URL(), "-jwt-keys", keys, "-publish-token", token, "-subscribe-token", token,
			"-source", "jobs=http", "-topics", "user.*,ttl=48h", "-topics", "run.*,ttl=48h", "-retry", "200ms"))
	}
	s.proxy = harness.StartSite(t, fmt.Sprintf("location /app/ { proxy_pass http://%s; }\n", s.addr), s.nodes...)
	if s.binary, err = harness.Build("weir/e2e/app"); err != nil {
		t.Fatal(err)
	}
	s.startApp(t)
	return s
}

func (s *site) startApp(t *testing.T) {
	t.Helper()
	cmd := exec.Command(s.binary, "-addr", s.addr, "-weir", s.proxy.URL(), "-key", s.key)
	cmd.Env = append(harness.CleanEnv(), "APP_TOKEN="+token, "SSL_CERT_FILE="+harness.Cert.File)
	s.app = harness.Start(t, "app", cmd)
	s.app.Listens(t, s.addr)
}

// logIn opens a browser of its own, and logs in there.
func (s *site) logIn(t *testing.T, user, password string) *harness.Tab {
	t.Helper()
	tab := harness.OpenTab(t, "about:blank")
	tab.Before(harness.Listen)
	s.submitLogin(tab, user, password)
	tab.Wait(`document.cookie === 'user=%s'`, user)
	return tab
}

// submitLogin sends the form, and waits for the page that answers it.
func (s *site) submitLogin(tab *harness.Tab, user, password string) {
	tab.Go(s.proxy.URL() + "/app/")
	harness.Evaluate[chromedp.Void](tab, `void (window.before = true)`)
	tab.Do(
		chromedp.SendKeys(chromedp.CSS("[name=user]"), user),
		chromedp.SendKeys(chromedp.CSS("[name=password]"), password),
		chromedp.Click(chromedp.CSS("#login button")),
	)
	tab.Wait(`!window.before && document.readyState === 'complete'`)
}

// begin begins a run by the page's own button.
func begin(tab *harness.Tab, steps int) {
	harness.Evaluate[chromedp.Void](tab, `void (document.getElementById('steps').value = %d)`, steps)
	tab.Do(chromedp.Click(chromedp.CSS("#begin")))
}

// bar is the progress of a run on the page, by its number there.
func bar(run int) string {
	return fmt.Sprintf(`document.querySelectorAll('.run progress')[%d]?.value`, run)
}

func text(run int) string {
	return fmt.Sprintf(`document.querySelectorAll('.run output')[%d]?.value`, run)
}

// Two browsers see one run, while everything that there is is killed once. Neither
// misses a step or sees one again. Then one aborts the run, and another is done.
func TestEverythingIsKilledOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	tabs := []*harness.Tab{s.logIn(t, "alice", "wonder"), s.logIn(t, "alice", "wonder")}
	begin(tabs[0], 1000)
	progress := func(what string) {
		t.Helper()
		for _, tab := range tabs {
			now := harness.Evaluate[float64](tab, "%s ?? 0", bar(0))
			t.Logf("%s: %v", what, now)
			tab.Wait("%s >= %v", bar(0), now+5)
		}
	}
	progress("begun")
	for _, part := range []struct {
		name string
		kill func()
	}{
		{"node one", func() { s.nodes[0].Kill(); progress("without node one"); s.nodes[0].Start(t) }},
		{"node two", func() { s.nodes[1].Kill(); progress("without node two"); s.nodes[1].Start(t) }},
		{"nginx", func() { s.proxy.Crash(t); s.proxy.Start(t) }},
		{"Redis", func() { s.redis.Kill(); s.redis.Start(t) }},
		{"the app", func() { s.app.Kill(); s.startApp(t) }},
	} {
		part.kill()
		progress("after " + part.name + " was killed")
	}

	run := tabs[0].Heard("/t/run.")[0].URL
	tabs[1].Do(chromedp.Click(chromedp.CSS(".run button")))
	var before []harness.Heard
	for _, tab := range tabs {
		tab.Wait(`%s === 'aborted' && !document.querySelector('.run button')`, text(0))
		before = tab.Heard(run)
		if last := whole(t, before); last != harness.Evaluate[int](tab, "%s", bar(0)) {
			t.Errorf("the bar is not at %d", last)
		}
	}

	// The worker has noticed: another run is done, and the first is as it was.
	begin(tabs[1], 12)
	for _, tab := range tabs {
		tab.Wait(`%s === 'done' && %s === 12`, text(1), bar(1))
	}
	tabs[0].Go(s.proxy.URL() + "/app/")
	tabs[0].Wait(`%s === 'aborted' && %s === 'done' && heard.filter((h) => h.type === 'close').length === 2`, text(0), text(1))
	after := tabs[0].Heard(run)
	whole(t, after)
	if events := slices.DeleteFunc(after, isClose); !slices.Equal(events, slices.DeleteFunc(before, isClose)) {
		t.Errorf("a reload shows other events of the run: %v, before %v", after, before)
	}
}

func isClose(h harness.Heard) bool { return h.Type == "close" }

// whole checks that every step of a run was heard once, in order, and then that it
// was aborted, and of no gap. It returns how many steps there were.
func whole(t *testing.T, heard []harness.Heard) (steps int) {
	t.Helper()
	aborted := false
	for _, h := range heard {
		switch {
		case isClose(h) && aborted:
		case h.Type == "message" && h.Data == fmt.Sprintf(`{"step":%d,"of":1000}`, steps+1) && !aborted:
			steps++
		case h.Type == "message" && h.Data == `{"state":"aborted"}` && !aborted:
			aborted = true
		default:
			t.Fatalf("after step %d (aborted: %v) comes %+v", steps, aborted, h)
		}
	}
	if !aborted || steps == 0 {
		t.Fatalf("%d steps, aborted: %v", steps, aborted)
	}
	return steps
}

// What somebody may is in the cookie: the page of one user gets nothing of another's.
func TestUsersAreApart(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	alice, bob := s.logIn(t, "alice", "wonder"), s.logIn(t, "bob", "builder")
	begin(alice, 3)
	alice.Wait(`%s === 'done'`, text(0))
	run := alice.Heard("/t/run.")[0].URL
	for what, want := range map[string]int{
		`fetch('/t/user.bob', { headers: { Accept: 'text/event-stream' } })`:                        403,
		`fetch('/t/jobs', { headers: { Accept: 'text/event-stream' } })`:                            403,
		`fetch('/t/jobs?subject=bob', { method: 'POST', body: '{"steps":1}' })`:                     403,
		`fetch('/t/jobs', { method: 'POST', body: '{"steps":1}' })`:                                 403,
		`fetch('/t/user.alice', { method: 'POST', body: '{"run":"x"}' })`:                           403,
		`fetch('/t/run.bob.1?close=1', { method: 'POST', body: '{}' })`:                             403,
		`fetch('/t/run.alice.1', { method: 'HEAD', headers: { Accept: 'text/event-stream' } })`:     200,
		fmt.Sprintf(`fetch(%q, { method: 'HEAD', headers: { Accept: 'text/event-stream' } })`, run): 200,
	} {
		if got := harness.Evaluate[int](alice, "%s.then((r) => r.status)", what); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	if got := harness.Evaluate[int](bob, `fetch(%q, { headers: { Accept: 'text/event-stream' } }).then((r) => r.status)`, run); got != 403 {
		t.Errorf("bob reads a run of alice: %d", got)
	}
	if got := harness.Evaluate[int](bob, `document.querySelectorAll('.run').length`); got != 0 {
		t.Errorf("bob sees %d runs", got)
	}
	// Nobody who has no cookie: a wrong password.
	nobody := harness.OpenTab(t, "about:blank")
	s.submitLogin(nobody, "alice", "guess")
	if got := harness.Evaluate[int](nobody, `fetch('/t/user.alice', { headers: { Accept: 'text/event-stream' } }).then((r) => r.status)`); got != 401 {
		t.Errorf("with a wrong password: %d", got)
	}
}
