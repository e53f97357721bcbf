package rights_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"weir/web/rights"
)

// foreign are keys and tokens made by the library jose of npm: see
// testdata/jose/tokens.mjs.
type foreign struct {
	JWKS           json.RawMessage
	Shared         json.RawMessage
	PEM            string
	Valid, Invalid map[string]string
	None           string
}

func readForeign(t testing.TB) foreign {
	t.Helper()
	text, err := os.ReadFile("testdata/jose/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var f foreign
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// withShared is the set together with the shared secret.
func (f foreign) withShared(t testing.TB) string {
	t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(f.JWKS, &set); err != nil {
		t.Fatal(err)
	}
	set.Keys = append(set.Keys, f.Shared)
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newRights(t testing.TB, opts rights.Options) *rights.Rights {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	r, err := rights.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func request(token string) *http.Request {
	r := httptest.NewRequest("GET", "/sse-stream", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestForeignTokens(t *testing.T) {
	f := readForeign(t)
	r := newRights(t, rights.Options{Keys: write(t, f.withShared(t)), Audience: "weir.test"})
	for name, token := range f.Valid {
		h, denial := r.Holder(request(token), rights.Subscribe, "user.42")
		if denial != nil {
			t.Errorf("%s: %v", name, denial)
			continue
		}
		if h.Identity != "alice" || !h.Expires.Equal(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", name, h)
		}
		for _, tc := range []struct {
			action         rights.Action
			topic, subject string
			may            bool
		}{
			{rights.Subscribe, "user.42", "", true}, {rights.Subscribe, "user.42", "x", true}, {rights.Subscribe, "user.4", "", false}, {rights.Subscribe, "user.421", "", false},
			{rights.Subscribe, "orders", "eu.1", true}, {rights.Subscribe, "orders", "eu.*", true}, {rights.Subscribe, "orders", "eu", false}, {rights.Subscribe, "orders", "us.1", false},
			{rights.Subscribe, "orders", "*", false}, {rights.Subscribe, "orders", "", false}, {rights.Subscribe, "run.1", "", false},
			{rights.Publish, "run.1", "", true}, {rights.Publish, "run.1.2", "x", true}, {rights.Publish, "run.", "", false}, {rights.Publish, "run", "", false}, {rights.Publish, "user.42", "", false},
		} {
			if got := h.MaySubject(tc.action, tc.topic, tc.subject); got != tc.may {
				t.Errorf("%s: %s %s of %s: %v", name, tc.action, tc.subject, tc.topic, got)
			}
		}
		if h.MayAll(rights.Subscribe) {
			t.Errorf("%s may read everything", name)
		}
	}
	if len(f.Valid) < 10 || len(f.Invalid) < 40 {
		t.Errorf("%d good and %d bad tokens", len(f.Valid), len(f.Invalid))
	}
	for name, token := range f.Invalid {
		for _, carry := range []func(*http.Request){
			func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
			func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "weir", Value: token}) },
			func(r *http.Request) { r.URL.RawQuery = "ticket=" + token },
		} {
			req := httptest.NewRequest("GET", "/", nil)
			carry(req)
			if h, denial := r.Holder(req, rights.Subscribe, "user.42"); denial == nil || denial.Status != 401 {
				t.Errorf("%s is accepted: %+v, %v", name, h, denial)
			} else if strings.Contains(denial.Detail, token) {
				t.Errorf("%s: the refusal repeats the token", name)
			}
		}
	}
	if _, denial := r.Holder(request(f.None), rights.Subscribe, "user.42"); denial == nil || denial.Status != 403 {
		t.Errorf("a token without the claim: %v", denial)
	}
	if _, denial := r.Holder(request(f.Valid["RS256"]), rights.Subscribe, "user.43"); denial == nil || denial.Status != 403 {
		t.Errorf("another's topic: %v", denial)
	}
	if !r.Needed(rights.Subscribe) || !r.Needed(rights.Publish) {
		t.Error("with keys, reading and publishing need a right")
	}
}

// What the clock says, to the second.
func TestTimesOfTokens(t *testing.T) {
	i := &issuer{}
	i.rotate("one")
	var set jose.JSONWebKeySet
	set.Keys = append(set.Keys, jose.JSONWebKey{Key: &i.keys["one"].PublicKey, KeyID: "one"})
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, string(text))
	synctest.Test(t, func(t *testing.T) {
		r := newRights(t, rights.Options{Keys: file})
		now := time.Now()
		in := func(d time.Duration) int64 { return now.Add(d).Unix() }
		for _, tc := range []struct {
			name   string
			claims map[string]any
			status int
		}{
			{"expires in a second", map[string]any{"exp": in(time.Second)}, 200},
			{"expires now", map[string]any{"exp": in(0)}, 401},
			{"begins in 30 s: the signer's clock is ahead", map[string]any{"nbf": in(30 * time.Second)}, 200},
			{"begins in 31 s", map[string]any{"nbf": in(31 * time.Second)}, 401},
			{"with fractions", map[string]any{"exp": float64(in(time.Second)) + 0.5}, 200},
		} {
			if got := status(r, i.sign(t, "one", tc.claims)); got != tc.status {
				t.Errorf("%s: %d", tc.name, got)
			}
		}
		token := i.sign(t, "one", map[string]any{"exp": in(time.Minute)})
		time.Sleep(time.Minute - time.Nanosecond)
		if got := status(r, token); got != 200 {
			t.Errorf("at its last moment: %d", got)
		}
		time.Sleep(time.Nanosecond)
		if got := status(r, token); got != 401 {
			t.Errorf("after its last moment: %d", got)
		}
	})
}

func TestCarriers(t *testing.T) {
	f := readForeign(t)
	r := newRights(t, rights.Options{Keys: write(t, f.withShared(t)), PublishToken: "hush"})
	token := f.Valid["RS256"]
	ask := func(action rights.Action, topic, cookie string, header ...string) int {
		req := httptest.NewRequest("POST", "http://weir.test/", nil)
		req.AddCookie(&http.Cookie{Name: "weir", Value: cookie})
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if _, denial := r.Holder(req, action, topic); denial != nil {
			return denial.Status
		}
		return 200
	}
	if got := ask(rights.Subscribe, "user.42", token); got != 200 {
		t.Errorf("reading by the cookie: %d", got)
	}
	for _, word := range []string{token, "hush"} {
		for _, tc := range []struct {
			name   string
			header []string
			status int
		}{
			{"nobody says whose page", nil, 403},
			{"another site's page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403},
			{"a page of the same site", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://evil.weir.test"}, 403},
			{"typed by hand", []string{"Sec-Fetch-Site", "none"}, 403},
			{"an old browser, another origin", []string{"Origin", "http://evil.test"}, 403},
			{"an old browser, no origin", []string{"Origin", "null"}, 403},
			{"a contradiction", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://weir.test"}, 403},
			{"our own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://weir.test"}, 200},
			{"our own page, an old browser", []string{"Origin", "http://weir.test"}, 200},
		} {
			if got := ask(rights.Publish, "run.1", word, tc.header...); got != tc.status {
				t.Errorf("publishing by the cookie, %s: %d", tc.name, got)
			}
		}
		header := []string{"Authorization", "Bearer " + word, "Sec-Fetch-Site", "cross-site"}
		if got := ask(rights.Publish, "run.1", "", header...); got != 200 {
			t.Errorf("publishing by the header: %d", got)
		}
	}
	// A ticket does not publish, and is the token itself.
	req := httptest.NewRequest("POST", "/?ticket="+token, nil)
	if _, denial := r.Holder(req, rights.Publish, "run.1"); denial == nil {
		t.Error("a ticket publishes")
	}
	topic := func(name string) func(*rights.Holder) string { return func(*rights.Holder) string { return name } }
	ticket, denial := r.Ticket(request(token), topic("user.42"))
	if denial != nil || ticket.Text != token || !slices.Contains(ticket.Holder.Grants(rights.Subscribe), "orders/eu.*") {
		t.Errorf("%+v %v", ticket, denial)
	}
	if _, denial := r.Ticket(request(token), topic("user.43")); denial == nil || denial.Status != 403 {
		t.Errorf("a ticket for another's topic: %v", denial)
	}
	byCookie := httptest.NewRequest("POST", "/", nil)
	byCookie.AddCookie(&http.Cookie{Name: "weir", Value: token})
	if _, denial := r.Ticket(byCookie, topic("user.42")); denial == nil {
		t.Error("a ticket is made of a cookie, which no script shall read")
	}
}

// Whatever is given for a token: no panic, and no right.
func FuzzJWT(f *testing.F) {
	tokens := readForeign(f)
	for _, token := range tokens.Invalid {
		f.Add(token)
	}
	good := map[string]bool{}
	for _, token := range tokens.Valid {
		good[token] = true
	}
	r := newRights(f, rights.Options{Keys: write(f, tokens.withShared(f)), Audience: "weir.test"})
	f.Fuzz(func(t *testing.T, token string) {
		req := httptest.NewRequest("GET", "/", nil)
		req.Header["Authorization"] = []string{"Bearer " + token}
		if h, denial := r.Holder(req, rights.Subscribe, "user.42"); denial == nil && !good[strings.TrimSpace(token)] {
			t.Errorf("%q is accepted: %+v", token, h)
		}
	})
}
