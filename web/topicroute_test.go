package web_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/web"
	"weir/web/rights"
)

// newDemandSite has topics on demand: run.*, two of them at most.
func newDemandSite(t testing.TB, change func(*web.Options)) *site {
	return newSiteOn(t, stream.HubOptions{OnDemand: func(topic string) (stream.TopicOptions, bool) {
		return stream.TopicOptions{Label: "run.*", Max: 2, IdleTTL: time.Hour}, eventlog.MatchPattern("run.*", topic)
	}}, func(o *web.Options) {
		o.Page.Demands = []string{"run.*"}
		if change != nil {
			change(o)
		}
	})
}

// One address: it is published to, read, and looked at.
func TestTopicAddress(t *testing.T) {
	s := newDemandSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, secret, "", "") })
	server := s.listen()
	sub := subscribe(t, server.URL+"/t/run.1", "Accept", "text/event-stream")
	if sub.hello.Topic != "run.1" {
		t.Errorf("%+v", sub.hello)
	}
	for _, method := range []string{"POST", "PUT"} {
		w := s.do(method, "/t/run.1?name=step", "hello", withToken("Content-Type", "application/x-www-form-urlencoded")...)
		ids := decode[struct{ IDs []string }](t, w, 200).IDs
		m, err := sub.Next()
		if err != nil || string(m.Data) != "hello" || m.Event != "step" || m.ID != ids[0] {
			t.Errorf("%s: %+v %v, published %v", method, m, err, ids)
		}
	}
	// The query may ask for another format, and may not name another topic.
	if w := s.glance("/t/one?format=html"); w.Code != 200 {
		t.Errorf("another format: %d", w.Code)
	}
	wantProblem(t, s.do("GET", "/t/one?topic=two", ""), 400, "names the topic")
	// A browser that goes there gets the page with the topic, and makes none by that.
	for _, accept := range []string{"text/html,application/xhtml+xml,*/*;q=0.8", "TEXT/HTML"} {
		w := s.do("GET", "/t/run.9", "", "Accept", accept)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || web.HasAssets() && !strings.Contains(w.Body.String(), "run.9") || !varies(w.Header(), "Accept") {
			t.Errorf("%s: %d %v", accept, w.Code, w.Header())
		}
	}
	if n := s.hub.Demanded()["run.*"]; n != 1 {
		t.Errorf("%d topics were made", n)
	}
	for _, tc := range []struct {
		method, target string
		status         int
		says           string
	}{
		{"GET", "/t/none", 404, "no such topic"},
		{"POST", "/t/none", 404, "no such topic"},
		{"GET", "/t/$x", 404, "$"},
		{"GET", "/t/a%2Fb", 404, "/"},
		{"GET", "/t/a%00b", 404, ""},
		{"GET", "/t/%2e%2e", 404, "neither . nor .."},
		{"GET", "/t/run.", 404, "these names: run.*"},
		{"POST", "/t/run.", 404, "these names: run.*"},
		{"POST", "/publish?topic=a%25b", 404, "can be no such topic: not a valid name: topic \"a%b\" has '%' in it"},
		{"POST", "/publish?topic=a%3Db", 404, "'='"},
		{"POST", "/publish?topic=..", 404, "neither . nor .."},
		{"POST", "/publish?topic=run.", 404, "these names: run.*"},
		{"GET", "/sse-stream?topic=a%25b", 404, "can be no such topic: not a valid name: topic \"a%b\" has '%' in it"},
		{"GET", "/sse-stream?topic=.", 404, "neither . nor .."},
		{"GET", "/t/" + strings.Repeat("x", 129), 404, "128"},
		{"GET", "/t/", 404, "nothing at this address"},
		{"DELETE", "/t/one", 405, "POST"},
	} {
		w := s.do(tc.method, tc.target, "1", withToken("Content-Type", "application/json")...)
		if p := wantProblem(t, w, tc.status, tc.says); strings.Contains(p.Detail, "<") {
			t.Errorf("%+v", p)
		}
	}
	// No more topics than there may be.
	decode[any](t, s.do("POST", "/t/run.2", "1", bearerHeader...), 200)
	if w := s.do("POST", "/t/run.3", "1", bearerHeader...); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a topic too many, by publishing: %d %s", w.Code, w.Body)
	}
	if w := s.glance("/t/run.3"); w.Code != 429 {
		t.Errorf("a topic too many, by reading: %d %s", w.Code, w.Body)
	}
}

// Nobody makes a topic without a right to it.
func TestTopicsAreMadeByRight(t *testing.T) {
	s := newDemandSite(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, "", "", tokenFile(t, "subscribe reader run.1\npublish writer run.1"))
	})
	for _, token := range []string{"", "guess", "reader", "writer"} {
		s.glance("/t/run.2", "Authorization", "Bearer "+token)
		s.do("HEAD", "/t/run.2", "", "Authorization", "Bearer "+token)
		s.do("GET", "/t/run.2", "", "Authorization", "Bearer "+token, "Accept", "text/html")
		s.do("POST", "/t/run.2", "1", "Authorization", "Bearer "+token)
		s.do("POST", "/ticket?topic=run.2", "", "Authorization", "Bearer "+token)
		s.do("GET", "/sse-health?topic=run.2", "", "Authorization", "Bearer "+token)
	}
	if n := s.hub.Demanded()["run.*"]; n != 0 {
		t.Errorf("%d topics were made", n)
	}
	decode[any](t, s.do("POST", "/t/run.1", "1", "Authorization", "Bearer writer"), 200)
	if w := s.glance("/t/run.1", "Authorization", "Bearer reader"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Who feeds a topic sees how many read it, and not who; and nothing of others.
	open := subscribe(t, s.listen().URL+"/t/run.1", "Authorization", "Bearer reader")
	fed := decode[healthAnswer](t, s.do("GET", "/sse-health?topic=run.1", "", "Authorization", "Bearer writer"), 200)
	if fed.Topics["run.1"]["streams"] != 1.0 || len(fed.ConnectionDetails) != 0 || len(fed.Topics) != 1 {
		t.Errorf("a publisher is told %+v", fed)
	}
	for _, target := range []string{"/sse-health", "/sse-health?topic=one", "/sse-health?topic=run.2"} {
		if w := s.do("GET", target, "", "Authorization", "Bearer writer"); w.Code != 403 {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	open.close()
	h := decode[healthAnswer](t, s.do("GET", "/sse-health?topic=run.1", "", "Authorization", "Bearer reader"), 200)
	if h.Topics["run.1"]["entries"] != 1.0 {
		t.Errorf("%+v", h.Topics)
	}
}

// signed returns a JSON Web Token, and the file that has its key.
func signed(t testing.TB, claims string) (token, keys string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := tokenFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"EdDSA"}`)) + "." + b64([]byte(claims))
	return text + "." + b64(ed25519.Sign(private, []byte(text))), path
}

// An application sets the cookie; its page then needs no more than an
// EventSource. The stream ends when the right does.
func TestStreamByCookie(t *testing.T) {
	claims, err := json.Marshal(map[string]any{
		"sub": "alice", "exp": time.Now().Add(2 * time.Second).Unix(), "weir": map[string]any{"subscribe": []string{"run.42", "one/eu.*"}, "publish": []string{"run.42"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, keys := signed(t, string(claims))
	s := newDemandSite(t, func(o *web.Options) {
		r, err := rights.New(rights.Options{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		o.Access.Rights = r
	})
	server := s.listen()
	cookie := "weir=" + token
	sub := subscribe(t, server.URL+"/t/run.42", "Cookie", cookie, "Accept", "text/event-stream")
	if c := s.handler.Conn(sub.hello.Connection); c == nil || c.Identity != "alice" {
		t.Errorf("%+v", c)
	}
	for _, tc := range []struct {
		target string
		status int
	}{
		{"/t/run.43", 403}, {"/t/one?subject=us.1", 403}, {"/t/one?subject=*", 403}, {"/t/one?subject=eu.1&subject=eu.2.*", 200}, {"/sse-stream?topic=two", 403},
	} {
		if w := s.glance(tc.target, "Cookie", cookie); w.Code != tc.status {
			t.Errorf("%s: %d %s", tc.target, w.Code, w.Body)
		}
	}
	// Whoever may read some subjects and names none gets those.
	some := subscribe(t, server.URL+"/t/one", "Cookie", cookie)
	for _, subject := range []string{"us.1", "", "eu.7"} {
		if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Subject: subject, Data: []byte(`"` + subject + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := some.Next(); err != nil || string(m.Data) != `"eu.7"` {
		t.Errorf("%+v %v", m, err)
	}
	// A page of another site publishes nothing by the cookie.
	for site, status := range map[string]int{"same-origin": 200, "cross-site": 403, "same-site": 403, "": 403} {
		header := []string{"Cookie", cookie, "Content-Type", "text/plain"}
		if site != "" {
			header = append(header, "Sec-Fetch-Site", site)
		}
		if w := s.do("POST", "/t/run.42", "x", header...); w.Code != status {
			t.Errorf("publishing from %q: %d", site, w.Code)
		}
	}
	for {
		m, err := sub.Next()
		if err != nil {
			t.Fatalf("the stream ended without a word: %v", err)
		}
		if m.Event == "close" {
			if !strings.Contains(string(m.Data), "expired") {
				t.Errorf("close says %s", m.Data)
			}
			break
		}
	}
	if w := s.glance("/t/run.42", "Cookie", cookie); w.Code != 401 {
		t.Errorf("an expired cookie: %d", w.Code)
	}
	if w := s.do("GET", "/t/run.42", "", "Cookie", cookie, "Accept", "text/html"); w.Code != 200 {
		t.Errorf("an expired cookie keeps its owner from the page: %d", w.Code)
	}
}

// With -play everything is allowed to who is on this machine, and nothing to
// what comes from elsewhere or was made by another site's page.
func TestPlay(t *testing.T) {
	s := newDemandSite(t, func(o *web.Options) { full(o); o.Access.Play, o.Access.CORSOrigins = true, nil })
	do := func(method, target string, header ...string) int {
		r := newRequest(method, target, "", header...)
		if method == "POST" {
			r = newRequest(method, target, "hello", header...)
		}
		r.RemoteAddr, r.Host = "127.0.0.1:1234", "localhost:8080"
		for i := 0; i < len(header); i += 2 {
			switch header[i] {
			case "Host":
				r.Host = header[i+1]
			case "Peer":
				r.RemoteAddr = header[i+1]
			}
		}
		return ask(s.public, r).Code
	}
	navigation := []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site"}
	for _, tc := range []struct {
		name   string
		header []string
		post   int // to publish
		page   int // to go to the topic's page
		health int // to read
	}{
		{"curl", nil, 200, 0, 200},
		{"our page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8080"}, 200, 0, 200},
		{"our page, an old browser", []string{"Origin", "http://localhost:8080", "Referer", "http://localhost:8080/t/x"}, 200, 0, 200},
		{"our page on port 80", []string{"Host", "localhost", "Origin", "http://localhost"}, 200, 0, 200},
		{"a form of a foreign page", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Origin", "http://evil.test"}, 403, 0, 403},
		{"a form of a foreign page, an old browser", []string{"Origin", "http://evil.test"}, 403, 0, 403},
		{"a form of a foreign page, an older browser", []string{"Referer", "http://evil.test/"}, 403, 0, 403},
		{"a form of a sandboxed page", []string{"Origin", "null"}, 403, 0, 403},
		{"a script of a foreign page", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403, 403, 403},
		{"a page of another port", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Origin", "http://localhost:3000"}, 403, 403, 403},
		{"a name that was rebound", []string{"Host", "evil.test:8080", "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.test:8080"}, 421, 0, 421},
		{"a proxy", []string{"X-Forwarded-For", "192.0.2.1"}, 403, 0, 403},
		{"a proxy that says Forwarded", []string{"Forwarded", "for=192.0.2.1"}, 403, 0, 403},
		{"a proxy that says Via", []string{"Via", "1.1 nginx"}, 403, 0, 403},
		{"a proxy that says X-Real-IP", []string{"X-Real-IP", "127.0.0.1"}, 403, 0, 403},
		{"another machine", []string{"Peer", "192.0.2.1:1234"}, 403, 0, 403},
		{"a link of a foreign page", append(navigation, "cross-site"), 403, 200, 403},
		{"typed by hand", append(navigation, "none"), 200, 200, 200},
		{"a frame of a foreign page", []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "cross-site"}, 403, 403, 403},
	} {
		before := s.hub.Demanded()["run.*"]
		if got := do("POST", "/t/run.1", tc.header...); got != tc.post {
			t.Errorf("%s: publishing gets %d, want %d", tc.name, got, tc.post)
		}
		if got := do("GET", "/sse-health", tc.header...); got != tc.health {
			t.Errorf("%s: health gets %d, want %d", tc.name, got, tc.health)
		}
		if tc.page != 0 {
			if got := do("GET", "/t/run.5", tc.header...); got != tc.page {
				t.Errorf("%s: the page gets %d, want %d", tc.name, got, tc.page)
			}
		}
		if tc.post != 200 && s.hub.Demanded()["run.*"] != before {
			t.Errorf("%s makes a topic", tc.name)
		}
	}
	for _, page := range []string{"/", "/streams", "/traces"} {
		r := newRequest("GET", page, "", append(navigation, "cross-site")...)
		r.RemoteAddr, r.Host = "127.0.0.1:1234", "localhost:8080"
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}))
		if w := ask(s.public, r); w.Code != 200 {
			t.Errorf("a link of a foreign page to %s gets %d: %s", page, w.Code, w.Body)
		}
	}
}
