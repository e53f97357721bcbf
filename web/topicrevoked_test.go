package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/web"
	"weir/web/rights"
)

// Without rights nothing can be revoked, and no stream ends.
func TestNothingIsRevokedWithoutRights(t *testing.T) {
	s := newSite(t, nil)
	refused, leave := s.hold("192.0.2.1:1")
	if refused != nil {
		t.Fatalf("no stream: %d", refused.StatusCode)
	}
	defer leave()
	s.server.EndRevoked()
	if n := s.handler.Active(); n != 1 {
		t.Errorf("%d streams are open, want 1", n)
	}
}

// A token that is taken out of the file ends its streams and its tickets, and
// nobody else's.
// Keys change and vanish while streams are open: newcomers need a token by a key that
// is there, and who reads goes on until the token expires.
func TestKeysVanishWhileStreamsAreOpen(t *testing.T) {
	claims := func(life time.Duration) string {
		text, err := json.Marshal(map[string]any{"exp": time.Now().Add(life).Unix(), "weir": map[string]any{"subscribe": []string{"one"}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	old, keys := signed(t, claims(4*time.Second))
	fresh, others := signed(t, claims(time.Hour))
	access, err := rights.New(rights.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	s := newDemandSite(t, func(o *web.Options) { o.Access.Rights = access })
	url := s.listen().URL + "/t/one"
	sub := subscribe(t, url, "Authorization", "Bearer "+old)
	if w := s.glance("/t/one", "Authorization", "Bearer "+fresh); w.Code != 401 {
		t.Errorf("a key that is not there yet: %d", w.Code)
	}
	text, err := os.ReadFile(others)
	if err == nil {
		err = os.WriteFile(keys, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := access.Reload(); err != nil {
		t.Fatal(err)
	}
	s.server.EndRevoked()
	if w := s.glance("/t/one", "Authorization", "Bearer "+old); w.Code != 401 {
		t.Errorf("a newcomer by a key that has vanished: %d", w.Code)
	}
	if w := s.glance("/t/one", "Authorization", "Bearer "+fresh); w.Code != 200 {
		t.Errorf("a newcomer by the new key: %d", w.Code)
	}
	// The file is gone altogether, or holds nonsense: the keys stay as they are.
	for _, damage := range []func() error{func() error { return os.WriteFile(keys, []byte("nonsense"), 0o600) }, func() error { return os.Remove(keys) }} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if err := access.Reload(); err == nil {
			t.Error("a file without keys is taken")
		}
		if w := s.glance("/t/one", "Authorization", "Bearer "+fresh); w.Code != 200 {
			t.Errorf("after a damaged file: %d", w.Code)
		}
	}
	if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", "close"} { // the event, and the end of the token
		m, err := sub.Next()
		if err != nil || m.Event != want && !(want == "" && m.Event == "message") {
			t.Fatalf("%+v %v, want %q", m, err, want)
		}
		if want == "close" && !strings.Contains(string(m.Data), "expired") {
			t.Errorf("close says %s", m.Data)
		}
	}
}

func TestTokenIsRevoked(t *testing.T) {
	path := tokenFile(t, "subscribe stays one\nsubscribe goes one,two\nsubscribe shrinks one,two")
	access := mustRights(t, "", "", path)
	s := newSite(t, func(o *web.Options) { o.Access.Rights = access })
	url := s.listen().URL
	open := func(topic, token string) *subscription {
		return subscribe(t, url+"/sse-stream?topic="+topic, "Authorization", "Bearer "+token)
	}
	ticket := decode[ticketAnswer](t, s.do("POST", "/ticket?topic=one", "", "Authorization", "Bearer goes"), 200).Ticket
	stays, goes, byTicket := open("one", "stays"), open("two", "goes"), subscribe(t, url+"/sse-stream?topic=one&ticket="+ticket)
	shrinks, kept := open("two", "shrinks"), open("one", "shrinks")
	if err := os.WriteFile(path, []byte("# a word\nsubscribe shrinks one\nsubscribe stays one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := access.Reload(); err != nil {
		t.Fatal(err)
	}
	s.server.EndRevoked()
	for name, sub := range map[string]*subscription{"its stream": goes, "its ticket's stream": byTicket, "a topic that was taken from a token": shrinks} {
		m, err := sub.Next()
		if err != nil || m.Event != "close" || !strings.Contains(string(m.Data), "revoked") {
			t.Errorf("%s: %+v %v", name, m, err)
		}
		if _, err := sub.Next(); err != io.EOF && err == nil {
			t.Errorf("%s goes on", name)
		}
	}
	if w := s.glance("/sse-stream?topic=one&ticket=" + ticket); w.Code != 401 {
		t.Errorf("its ticket: %d", w.Code)
	}
	if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	for name, sub := range map[string]*subscription{"another's": stays, "the topic that it keeps": kept} {
		if m, err := sub.Next(); err != nil || m.Event == "close" {
			t.Errorf("%s: %+v %v", name, m, err)
		}
	}
	if n := s.handler.Totals().Closed[stream.CloseRevoked]; n != 3 {
		t.Errorf("%d streams were revoked", n)
	}
}

// Who watches everybody's streams holds a right, too: the picture ends with it.
func TestThePictureEndsWithTheRight(t *testing.T) {
	path := tokenFile(t, "subscribe stays\nsubscribe goes\nsubscribe shrinks")
	claims := fmt.Sprintf(`{"exp":%d,"weir":{"subscribe":["*"]}}`, time.Now().Add(3*time.Second).Unix())
	jwt, keys := signed(t, claims)
	access, err := rights.New(rights.Options{TokenFile: path, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(o *web.Options) { o.Access.Rights = access })
	url := s.listen().URL + "/streams"
	watch := func(token string) *subscription { return subscribe(t, url, "Authorization", "Bearer "+token) }
	stays, goes, shrinks, expires := watch("stays"), watch("goes"), watch("shrinks"), watch(jwt)
	if err := os.WriteFile(path, []byte("subscribe stays\nsubscribe shrinks streams,one,two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := access.Reload(); err != nil {
		t.Fatal(err)
	}
	s.server.EndRevoked()
	for _, c := range []struct {
		name, reason string
		sub          *subscription
	}{{"a token that is gone", "revoked", goes}, {"one that reads every topic no more", "revoked", shrinks}, {"one whose time is over", "expired", expires}} {
		m, err := c.sub.Next()
		for err == nil && m.Event == "message" {
			m, err = c.sub.Next()
		}
		if err != nil || m.Event != "close" || !strings.Contains(string(m.Data), c.reason) {
			t.Errorf("%s: %+v %v, want close with %s", c.name, m, err, c.reason)
		}
	}
	if _, err := s.hub.Publish(t.Context(), "one", stream.Event{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	for next := frames(t, stays); ; {
		for _, topic := range next().Topics { // fails where the stream ends
			if topic.Head == 1 {
				return
			}
		}
	}
}
