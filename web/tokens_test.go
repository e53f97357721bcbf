package web_test

import (
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry/journey"
	"weir/web"
	"weir/web/rights"
)

func tokenFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Several rules may be about one token: all of them count, wherever they stand.
func TestTokenTopics(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, "all", "", tokenFile(t, `
publish first one
publish both one
publish last two
publish both two
publish sha#rp two
subscribe reader one,two
subscribe both one
`))
	})
	for _, tc := range []struct {
		token, topic string
		status       int
	}{
		{"all", "one", 200}, {"all", "two", 200},
		{"first", "one", 200}, {"first", "two", 403},
		{"both", "one", 200}, {"both", "two", 200},
		{"last", "two", 200}, {"last", "one", 403},
		{"sha#rp", "two", 200}, {"sha", "two", 401},
		{"reader", "one", 403}, // it may do something else
		{"First", "one", 401}, {"first,", "one", 401},
		{"first", "nowhere", 403}, {"all", "nowhere", 404},
		{"first", "", 400},
	} {
		w := s.do("POST", "/publish?topic="+tc.topic, "1", "Authorization", "Bearer "+tc.token, "Content-Type", "application/json")
		if w.Code != tc.status {
			t.Errorf("publish %s to %s: %d, want %d: %s", tc.token, tc.topic, w.Code, tc.status, w.Body)
		}
		if tc.token == "first" && strings.Contains(w.Body.String(), "one, two") {
			t.Errorf("topics are told that the token has no right to: %s", w.Body)
		}
	}
	for _, tc := range []struct {
		token, topic string
		status       int
	}{
		{"reader", "one", 200}, {"reader", "two", 200}, {"reader", "", 200}, {"reader", "nowhere", 403},
		{"both", "one", 200}, {"both", "", 200}, {"both", "two", 403},
		{"all", "one", 403}, {"", "one", 401},
	} {
		if w := s.glance("/sse-stream?topic="+tc.topic, "Authorization", "Bearer "+tc.token); w.Code != tc.status {
			t.Errorf("subscribe %s to %s: %d, want %d: %s", tc.token, tc.topic, w.Code, tc.status, w.Body)
		}
		r := newRequest("HEAD", "/sse-stream?topic="+tc.topic, "", "Authorization", "Bearer "+tc.token)
		if w := ask(s.public, r); tc.topic != "nowhere" && w.Code != tc.status {
			t.Errorf("HEAD as %s for %s: %d, want %d", tc.token, tc.topic, w.Code, tc.status)
		}
	}
}

func TestTokensReload(t *testing.T) {
	path := tokenFile(t, "publish old\nsubscribe reader\n")
	tokens := mustRights(t, "", "", path)
	s := newSite(t, func(o *web.Options) { o.Access.Rights = tokens })
	check := func(when, token string, status int) {
		t.Helper()
		if w := s.do("POST", "/publish?topic=one", "1", "Authorization", "Bearer "+token, "Content-Type", "application/json"); w.Code != status {
			t.Errorf("%s: %s gets %d, want %d", when, token, w.Code, status)
		}
		if w := s.glance("/sse-stream"); w.Code != 401 {
			t.Errorf("%s: the stream is open to everybody", when)
		}
	}
	reload := func(text string) error {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return tokens.Reload()
	}
	check("at first", "old", 200)
	check("at first", "new", 401)
	if err := reload("publish new\nsubscribe reader\noops\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a faulty file: %v", err)
	}
	check("after a faulty file", "old", 200)
	check("after a faulty file", "new", 401)
	if err := reload("publish new\n"); err == nil || !strings.Contains(err.Error(), "everybody") {
		t.Errorf("the last token to subscribe is gone: %v", err)
	}
	check("after a file that would open the streams", "old", 200)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Reload(); err == nil {
		t.Error("a file that is gone is no error")
	}
	check("after the file is gone", "old", 200)
	if err := reload("publish new\nsubscribe other\n"); err != nil {
		t.Fatal(err)
	}
	check("after a good file", "new", 200)
	check("after a good file", "old", 401)
}

type ticketAnswer struct{ Ticket, Topic, Expires string }

func TestTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := tokenFile(t, "subscribe reader one\nsubscribe all\n")
		s := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", "", path) })
		mint := func(token, topic string) ticketAnswer {
			t.Helper()
			return decode[ticketAnswer](t, s.do("POST", "/ticket?topic="+topic, "", "Authorization", "Bearer "+token), 200)
		}
		one := mint("reader", "")
		if one.Topic != "one" || one.Expires != time.Now().Add(rights.DefaultTicketLife).UTC().Format(time.RFC3339) {
			t.Errorf("%+v", one)
		}
		use := func(ticket, topic string, header ...string) int {
			t.Helper()
			w := s.glance("/sse-stream?topic="+topic+"&ticket="+url.QueryEscape(ticket), header...)
			if w.Code != 200 {
				if p := wantProblem(t, w, 401, "POST /ticket"); p.Reason != "ticket" || w.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("%+v", p)
				}
				if strings.Contains(w.Body.String(), ticket) {
					t.Error("the answer repeats the ticket")
				}
			}
			return w.Code
		}
		if got := use(one.Ticket, "one"); got != 200 {
			t.Errorf("a good ticket: %d", got)
		}
		if got := use(one.Ticket, ""); got != 200 {
			t.Errorf("the default topic: %d", got)
		}
		if got := use(mint("all", "two").Ticket, "two"); got != 200 {
			t.Errorf("a good ticket for two: %d", got)
		}

		// Forged ones.
		raw, err := base64.RawURLEncoding.DecodeString(one.Ticket)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			forged := append([]byte(nil), raw...)
			forged[i] ^= 1
			if got := use(base64.RawURLEncoding.EncodeToString(forged), "one"); got != 401 {
				t.Fatalf("byte %d changed: %d", i, got)
			}
		}
		for name, ticket := range map[string]string{
			"truncated":      one.Ticket[:len(one.Ticket)-4],
			"longer":         one.Ticket + "AAAA",
			"padded":         one.Ticket + "==",
			"only the head":  base64.RawURLEncoding.EncodeToString(raw[:16]),
			"no base64":      "!!!",
			"a token":        "reader",
			"huge":           strings.Repeat("A", 16<<10),
			"with a newline": one.Ticket + "\n",
		} {
			if got := use(ticket, "one"); got != 401 {
				t.Errorf("%s: %d", name, got)
			}
		}
		if got := use(one.Ticket, "two"); got != 401 {
			t.Errorf("another topic: %d", got)
		}
		if got := use("bad", "one", "Authorization", "Bearer all"); got != 401 {
			t.Errorf("a bad ticket and a good token: %d", got)
		}

		// Every process that has the token takes the ticket: another node, and
		// the next one on this node.
		other := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", "", path) })
		if w := other.glance("/sse-stream?ticket=" + one.Ticket); w.Code != 200 {
			t.Errorf("another node refuses the ticket: %d %s", w.Code, w.Body)
		}
		stranger := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", "", tokenFile(t, "subscribe other one")) })
		wantProblem(t, stranger.glance("/sse-stream?ticket="+one.Ticket), 401, "this topic and server")

		// It expires.
		time.Sleep(rights.DefaultTicketLife)
		if got := use(one.Ticket, "one"); got != 200 {
			t.Errorf("in its last second: %d", got)
		}
		time.Sleep(time.Second + time.Millisecond)
		wantProblem(t, s.glance("/sse-stream?ticket="+one.Ticket), 401, "expired")

		// Who gets one.
		for _, tc := range []struct {
			method, target, token string
			status                int
			says                  string
		}{
			{"GET", "/ticket", "all", 405, "POST"},
			{"POST", "/ticket", "", 401, "Bearer"},
			{"POST", "/ticket", "nobody", 401, "not valid"},
			{"POST", "/ticket?topic=two", "reader", 403, "two"},
		} {
			w := s.do(tc.method, tc.target, "", "Authorization", "Bearer "+tc.token)
			wantProblem(t, w, tc.status, tc.says)
			if tc.status == 405 && w.Header().Get("Allow") != "POST, DELETE" {
				t.Error("no Allow")
			}
		}
	})
}

func TestTicketsAreOffWithoutTokens(t *testing.T) {
	wantProblem(t, newSite(t, nil).do("POST", "/ticket", ""), 404, "everybody may subscribe")
}

// A ticket cannot publish, nor can it mint another.
func TestTicketOnlySubscribes(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "p", "s", "") })
	ticket := decode[ticketAnswer](t, s.do("POST", "/ticket", "", "Authorization", "Bearer s"), 200).Ticket
	for _, target := range []string{"/publish?topic=one&ticket=" + ticket, "/ticket?ticket=" + ticket} {
		wantProblem(t, s.do("POST", target, "1", "Content-Type", "application/json"), 401, "Bearer")
		wantProblem(t, s.do("POST", target, "1", "Content-Type", "application/json", "Authorization", "Bearer "+ticket), 401, "not valid")
	}
}

func TestGuessingIsLimited(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, "", "s", "")
		o.Limits.ConnectRate = 0.1
	})
	for _, target := range []string{"/sse-stream", "/ticket"} {
		ask := func() (int, string) {
			if target == "/ticket" {
				w := s.do("POST", target, "", "Authorization", "Bearer guess")
				return w.Code, w.Header().Get("Retry-After")
			}
			w := s.glance(target, "Authorization", "Bearer guess")
			return w.Code, w.Header().Get("Retry-After")
		}
		if code, _ := ask(); code != 401 {
			t.Errorf("%s: the first guess gets %d", target, code)
		}
		if code, after := ask(); code != 429 || after == "" {
			t.Errorf("%s: the second guess gets %d, Retry-After %q", target, code, after)
		}
	}
}

// Who names no topic reads the first that is allowed, and is told the name of none
// that is not.
func TestNoTopicIsToldWithoutARight(t *testing.T) {
	path := tokenFile(t, "subscribe second two\nsubscribe stranger elsewhere\npublish stranger elsewhere\nsubscribe all\npublish all")
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Observe.Traces = journey.NewStore("a", 0, 0)
		o.Access.Rights = mustRights(t, "", "", path)
	})
	name := regexp.MustCompile(`\b(one|two)\b`)
	for _, tc := range []struct {
		method, target, token string
		status                int
		topic                 string // that the answer is about
	}{
		{"GET", "/sse-stream?format=json", "second", 200, "two"},
		{"GET", "/sse-stream?format=json", "all", 200, "one"},
		{"POST", "/ticket", "second", 200, "two"},
		{"GET", "/sse-stream?format=json", "stranger", 403, ""},
		{"HEAD", "/sse-stream?format=json", "stranger", 403, ""},
		{"POST", "/ticket", "stranger", 403, ""},
		{"POST", "/publish", "stranger", 400, ""},
		{"GET", "/sse-health", "stranger", 200, ""},
		{"GET", "/traces", "stranger", 200, ""},
		{"GET", "/metrics", "stranger", 403, ""},
		{"GET", "/streams", "stranger", 403, ""},
		{"GET", "/sse-stream?format=json&topic=nothing", "stranger", 403, ""},
		{"GET", "/sse-stream?format=json&topic=nothing", "all", 404, ""},
	} {
		header := []string{"Authorization", "Bearer " + tc.token, "Accept", "application/json, text/event-stream"}
		var w *httptest.ResponseRecorder
		if strings.HasPrefix(tc.target, "/sse-stream") && tc.method == "GET" {
			w = s.glance(tc.target, header...)
		} else {
			w = s.do(tc.method, tc.target, "", header...)
		}
		said := w.Body.String()
		if w.Code != tc.status {
			t.Errorf("%s: %s %s: %d, want %d: %s", tc.token, tc.method, tc.target, w.Code, tc.status, said)
		}
		if tc.topic != "" && !strings.Contains(said, `"topic":"`+tc.topic+`"`) {
			t.Errorf("%s: %s %s is not about %s: %s", tc.token, tc.method, tc.target, tc.topic, said)
		}
		if told := name.FindString(said); told != "" && tc.topic == "" {
			t.Errorf("%s: %s %s tells of %s: %s", tc.token, tc.method, tc.target, told, said)
		}
	}
	// A ticket is for one topic, and reads that.
	minted := decode[struct{ Ticket string }](t, s.do("POST", "/ticket", "", "Authorization", "Bearer second"), 200)
	if w := s.glance("/sse-stream?format=json&ticket=" + minted.Ticket); w.Code != 200 || !strings.Contains(w.Body.String(), `"topic":"two"`) {
		t.Errorf("by a ticket: %d %s", w.Code, w.Body)
	}
}
