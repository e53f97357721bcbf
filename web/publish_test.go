package web_test

import (
	"slices"
	"strings"
	"testing"

	"weir/stream"
	"weir/web"
	"weir/web/rights"
)

const secret = "s3cret-t0ken"

func mustRights(t testing.TB, publish, subscribe, file string) *rights.Rights {
	t.Helper()
	tokens, err := rights.New(rights.Options{PublishToken: publish, SubscribeToken: subscribe, TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func newPublishSite(t testing.TB, change func(*web.Options)) *site {
	return newSite(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, secret, "", "")
		if change != nil {
			change(o)
		}
	})
}

var bearerHeader = []string{"Authorization", "Bearer " + secret}

func withToken(header ...string) []string { return append(slices.Clone(bearerHeader), header...) }

func TestPublishTakesEachContentType(t *testing.T) {
	const cloud = `{"specversion":"1.0","id":"x1","source":"/here","type":"t","data":{"a":1}}`
	for i, tc := range []struct {
		name, contentType, body string
		want                    []string
	}{
		{"json", "application/json", ` {"a":1} `, []string{`{"a":1}`}},
		{"json with charset", `Application/JSON; Charset="UTF-8"`, `[1]`, []string{`[1]`}},
		{"charset as it is often written", "application/json;charset=utf8", `"x"`, []string{`"x"`}},
		{"json over several lines", "application/json", "{\n\"a\":\r\n1}", []string{"{\n\"a\":\r\n1}"}},
		{"any JSON value", "application/json", `null`, []string{`null`}},
		{"ndjson", "application/x-ndjson", "1\n2\r\n\n  \n{\"a\":3}", []string{"1", "2", `{"a":3}`}},
		{"cloudevent", "application/cloudevents+json; charset=utf-8", cloud, []string{`{"a":1}`}},
		{"text", "text/plain", "two\nlines\n", []string{"two\nlines\n"}},
		{"text with charset", "text/plain; charset=UTF-8", "é", []string{"é"}},
		{"identity is no coding", "text/plain", "x", []string{"x"}},
		{"curl -d, a text", "application/x-www-form-urlencoded", "hello=world&x", []string{"hello=world&x"}},
		{"curl -d, JSON", "application/x-www-form-urlencoded", `{"a":1}`, []string{`{"a":1}`}},
		{"curl -T, of no type", "", "not JSON", []string{"not JSON"}},
		{"XML", "application/xml", "<a/>", []string{"<a/>"}},
		{"JSON of a type of its own", "application/vnd.x+json; v=1", `[1]`, []string{`[1]`}},
		{"a batch", "application/cloudevents-batch+json", "[" + cloud + "," + strings.Replace(cloud, "x1", "x2", 1) + "]", []string{`{"a":1}`, `{"a":1}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newPublishSite(t, nil)
			w := s.do([]string{"POST", "PUT"}[i%2], "/publish?topic=two", tc.body, withToken("Content-Type", tc.contentType, "Content-Encoding", "identity")...)
			answer := decode[struct{ IDs []string }](t, w, 200)
			if len(answer.IDs) != len(tc.want) {
				t.Errorf("IDs %v for %d events", answer.IDs, len(tc.want))
			}
			for i, text := range answer.IDs {
				id, err := stream.ParseID(text)
				if err != nil || id.IsZero() || i > 0 && text == answer.IDs[i-1] {
					t.Errorf("ID %q: %v", text, err)
				}
			}
			if got := s.held("two"); !slices.Equal(got, tc.want) {
				t.Errorf("the topic holds %q, want %q", got, tc.want)
			}
			if s.entries("one") != 0 {
				t.Error("the other topic got something")
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
}

// Whatever is refused, nothing of it is in.
func TestPublishRefuses(t *testing.T) {
	many := strings.Repeat("1\n", 10_001)
	deep := strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000)
	cloud := func(rest string) string { return `{"specversion":"1.0","id":"1","source":"s","type":"t"` + rest + `}` }
	for _, tc := range []struct {
		name, method, target, contentType, body string
		header                                  []string
		status                                  int
		reason, says                            string
	}{
		{name: "GET", method: "GET", status: 405, reason: "method", says: "POST"},
		{name: "DELETE", method: "DELETE", body: "1", status: 405, reason: "method", says: "POST"},
		{name: "OPTIONS", method: "OPTIONS", status: 405, reason: "method", says: "POST"},
		{name: "no token", header: []string{"X", "y"}, body: "1", status: 401, reason: "token", says: "Authorization: Bearer"},
		{name: "wrong token", header: []string{"Authorization", "Bearer nope"}, body: "1", status: 401, reason: "token", says: "not valid"},
		{name: "wrong scheme", header: []string{"Authorization", "Basic " + secret}, body: "1", status: 401, reason: "token", says: "Bearer"},
		{name: "no scheme", header: []string{"Authorization", secret}, body: "1", status: 401, reason: "token", says: "Bearer"},
		{name: "prefix of the token", header: []string{"Authorization", "Bearer " + secret[:5]}, body: "1", status: 401, reason: "token", says: "not valid"},
		{name: "token and more", header: []string{"Authorization", "Bearer " + secret + "x"}, body: "1", status: 401, reason: "token", says: "not valid"},
		{name: "token in the query", target: "/publish?topic=one&token=" + secret, header: []string{"X", "y"}, body: "1", status: 401, reason: "token", says: "Bearer"},
		{name: "no topic", target: "/publish", body: "1", status: 400, reason: "topic", says: "one, two"},
		{name: "unknown topic", target: "/publish?topic=three", body: "1", status: 404, reason: "topic", says: "one, two"},
		{name: "topic with markup", target: "/publish?topic=%3Cb%3E", body: "1", status: 404, reason: "topic", says: "can be no such topic"},
		{name: "nothing, of no content type", contentType: "-", body: "", status: 400, reason: "event", says: "empty"},
		{name: "an image", contentType: "image/png", body: "x", status: 415, reason: "content_type", says: "application/x-ndjson"},
		{name: "multipart", contentType: "multipart/form-data; boundary=x", body: "--x--", status: 415, reason: "content_type", says: "text/plain"},
		{name: "a batch of nothing", contentType: "application/cloudevents-batch+json", body: "[]", status: 400, reason: "event", says: "no event"},
		{name: "a batch that is none", contentType: "application/cloudevents-batch+json", body: "{}", status: 400, reason: "event", says: "array"},
		{name: "a batch, one of it bad", contentType: "application/cloudevents-batch+json", body: "[" + cloud("") + ",{}]", status: 400, reason: "event", says: "event 2 of 2"},
		{name: "a bad subject", target: "/publish?topic=one&subject=a/b", body: "1", status: 400, reason: "subject", says: "subject"},
		{name: "the name of a control event", target: "/publish?topic=one&name=gap", body: "1", status: 400, reason: "event", says: "gap"},
		{name: "a name of two lines", target: "/publish?topic=one&name=a%0Ab", body: "1", status: 400, reason: "event", says: "control"},
		{name: "a bad close", target: "/publish?topic=one&close=maybe", body: "1", status: 400, reason: "close", says: "close is 1"},
		{name: "a bad query", target: "/publish?topic=one&subject=%zz", body: "1", status: 400, reason: "query", says: "malformed"},
		{name: "malformed content type", contentType: "application/json;", body: "1", status: 200},
		{name: "senseless content type", contentType: ";;;", body: "1", status: 415, reason: "content_type", says: "Content-Type"},
		{name: "latin1", contentType: "text/plain; charset=iso-8859-1", body: "x", status: 415, reason: "content_type", says: "UTF-8"},
		{name: "utf-16", contentType: "application/json; charset=utf-16le", body: "1", status: 415, reason: "content_type", says: "UTF-8"},
		{name: "gzip", header: withToken("Content-Encoding", "gzip"), body: "\x1f\x8b\x08", status: 415, reason: "content_encoding", says: "compressed"},
		{name: "brotli and identity", header: withToken("Content-Encoding", "br, identity"), body: "1", status: 415, reason: "content_encoding", says: "compressed"},
		{name: "empty", body: "", status: 400, reason: "event", says: "empty"},
		{name: "blank", body: " \n ", status: 400, reason: "event", says: "empty"},
		{name: "malformed", body: `{"a":}`, status: 400, reason: "event", says: "byte 6"},
		{name: "cut short", body: `{"a":`, status: 400, reason: "event", says: "malformed"},
		{name: "two values", body: `1 2`, status: 400, reason: "event", says: "byte 3"},
		{name: "not a number", body: `NaN`, status: 400, reason: "event", says: "malformed"},
		{name: "a byte order mark", body: "\uFEFF1", status: 400, reason: "event", says: "malformed"},
		{name: "broken UTF-8", body: "\"\xc3\x28\"", status: 400, reason: "event", says: "UTF-8"},
		{name: "NUL", body: "\"\x00\"", status: 400, reason: "event", says: "malformed"},
		{name: "nested deeper than anybody reads", body: deep, status: 400, reason: "event", says: "malformed"},
		{name: "line 3", contentType: "application/x-ndjson", body: "1\n2\n{\"a\":\n4\n", status: 400, reason: "event", says: "line 3"},
		{name: "line 4, blank ones counted", contentType: "application/x-ndjson", body: "1\n\n2\r\n\xff\n", status: 400, reason: "event", says: "line 4"},
		{name: "last line, without newline", contentType: "application/x-ndjson", body: "1\n2\n3 4", status: 400, reason: "event", says: "line 3"},
		{name: "an array is one event, over lines it is none", contentType: "application/x-ndjson", body: "[\n1\n]", status: 400, reason: "event", says: "line 1"},
		{name: "no line", contentType: "application/x-ndjson", body: "\n\n", status: 400, reason: "event", says: "no event"},
		{name: "too many lines", contentType: "application/x-ndjson", body: many, status: 400, reason: "event", says: "line 10001: a request carries at most 10000"},
		{name: "cloudevent: empty", contentType: "application/cloudevents+json", body: "", status: 400, reason: "event", says: "empty"},
		{name: "cloudevent: an array", contentType: "application/cloudevents+json", body: "[]", status: 400, reason: "event", says: "invalid event"},
		{name: "cloudevent: null", contentType: "application/cloudevents+json", body: "null", status: 400, reason: "event", says: "specversion"},
		{name: "cloudevent: no id", contentType: "application/cloudevents+json", body: `{"specversion":"1.0","source":"s","type":"t"}`, status: 400, reason: "event", says: "id, source and type"},
		{name: "cloudevent: binary", contentType: "application/cloudevents+json", body: cloud(`,"datacontenttype":"image/png","data_base64":"iVBORw=="`), status: 400, reason: "event", says: "binary data"},
		{name: "cloudevent: bad time", contentType: "application/cloudevents+json", body: cloud(`,"time":"yesterday"`), status: 400, reason: "event", says: "RFC 3339"},
		{name: "cloudevent: a type that is no text", contentType: "application/cloudevents+json", body: `{"specversion":"1.0","id":"1","source":"s","type":1}`, status: 400, reason: "event", says: "type"},
		{name: "cloudevent: control characters in the type", contentType: "application/cloudevents+json", body: `{"specversion":"1.0","id":"1","source":"s","type":"a\nb"}`, status: 400, reason: "event", says: "control"},
		{name: "cloudevent: broken UTF-8", contentType: "application/cloudevents+json", body: cloud(",\"data\":\"\xff\""), status: 400, reason: "event", says: "UTF-8"},
		{name: "cloudevent: an extension that is an object", contentType: "application/cloudevents+json", body: cloud(`,"ext":{}`), status: 400, reason: "event", says: "ext"},
		{name: "too large", body: `"` + strings.Repeat("x", 1<<20) + `"`, status: 413, reason: "body_size", says: "1048576 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newPublishSite(t, nil)
			method, target, header := orElse(tc.method, "POST"), orElse(tc.target, "/publish?topic=one"), tc.header
			if header == nil {
				header = bearerHeader
			}
			if ct := orElse(tc.contentType, "application/json"); ct != "-" {
				header = append(slices.Clone(header), "Content-Type", ct)
			}
			w := s.do(method, target, tc.body, header...)
			if tc.status == 200 {
				decode[any](t, w, 200)
				return
			}
			p := wantProblem(t, w, tc.status, tc.says)
			if p.Reason != tc.reason {
				t.Errorf("reason %q, want %q", p.Reason, tc.reason)
			}
			if n := s.entries("one") + s.entries("two"); n != 0 {
				t.Errorf("%d events got in", n)
			}
			if got := w.Header().Get("Allow"); (tc.status == 405) != (got == "POST, PUT") {
				t.Errorf("Allow: %q", got)
			}
			if got := w.Header().Get("WWW-Authenticate"); (tc.status == 401) != strings.HasPrefix(got, `Bearer realm="weir"`) {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			if strings.Contains(w.Body.String(), secret) {
				t.Error("the token is in the answer")
			}
			// A person gets the same in words.
			person := s.do(method, target, tc.body, append(slices.Clone(header), "Accept", "text/html,*/*;q=0.8")...)
			if person.Code != tc.status || person.Header().Get("Content-Type") != "text/plain; charset=utf-8" || strings.TrimSpace(person.Body.String()) != p.Detail {
				t.Errorf("a person gets %d %q", person.Code, person.Body)
			}
		})
	}
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func TestPublishIsOffWithoutAToken(t *testing.T) {
	for name, s := range map[string]*site{
		"none":                 newSite(t, nil),
		"one to subscribe":     newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", secret, "") }),
		"a file with comments": newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", "", tokenFile(t, "# nobody\n")) }),
	} {
		w := s.do("POST", "/publish?topic=one", "1", withToken("Content-Type", "application/json")...)
		if p := wantProblem(t, w, 403, "-publish-token"); p.Reason != "publish_off" {
			t.Errorf("%s: reason %q", name, p.Reason)
		}
	}
}

func TestPublishHeaderCase(t *testing.T) {
	s := newPublishSite(t, nil)
	for _, value := range []string{"Bearer " + secret, "bearer " + secret, "BEARER   " + secret + " "} {
		if w := s.do("POST", "/publish?topic=one", "1", "authorization", value, "content-type", "APPLICATION/json"); w.Code != 200 {
			t.Errorf("%q: %d %s", value, w.Code, w.Body)
		}
	}
}

// With one topic there is no need to name it.
func TestPublishDefaultTopic(t *testing.T) {
	hub := stream.NewHub(stream.HubOptions{})
	t.Cleanup(hub.Close)
	if err := hub.AddTopic("only"); err != nil {
		t.Fatal(err)
	}
	s, err := web.NewServer(web.Options{Hub: hub, Stream: &stream.Handler{Hub: hub}, Access: web.Access{Rights: mustRights(t, "", "", tokenFile(t, "publish "+secret+" only\npublish other elsewhere"))}})
	if err != nil {
		t.Fatal(err)
	}
	for token, status := range map[string]int{secret: 200, "other": 403} {
		w := ask(s.Handler(), newRequest("POST", "/publish", "1", "Authorization", "Bearer "+token, "Content-Type", "application/json"))
		if w.Code != status {
			t.Errorf("%s: %d, want %d: %s", token, w.Code, status, w.Body)
		}
	}
}
