package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"weir/web"
	"weir/web/rights"
)

// told returns the first events of a topic as CloudEvents.
func (s *site) told(topic string, n int) []map[string]any {
	s.t.Helper()
	sub := subscribe(s.t, s.listen().URL+"/sse-stream?format=json&last_event_id=1-0&topic="+topic)
	defer sub.close()
	var all []map[string]any
	for len(all) < n {
		m, err := sub.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		if m.Event == "gap" || len(m.Data) == 0 {
			continue // a gap
		}
		var e map[string]any
		if err := json.Unmarshal(m.Data, &e); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// In binary mode the attributes are headers, and none of them is lost.
func TestBinaryCloudEvents(t *testing.T) {
	s := newPublishSite(t, nil)
	post := func(body string, header ...string) int {
		w := s.do("POST", "/publish?topic=one", body, withToken(header...)...)
		return w.Code
	}
	required := []string{"ce-specversion", "1.0", "ce-id", "7", "ce-source", "/shop", "ce-type", "order"}
	for _, tc := range []struct {
		name, body string
		header     []string
		want       map[string]any
	}{
		{"JSON", `{"a":1}`, []string{"Content-Type", "application/json", "ce-subject", "eu.7", "ce-time", "2026-01-02T03:04:05.678Z", "ce-dataschema", "https://x.test/s", "ce-partitionkey", "k 1"},
			map[string]any{"id": "7", "source": "/shop", "type": "order", "subject": "eu.7", "time": "2026-01-02T03:04:05.678Z", "dataschema": "https://x.test/s", "partitionkey": "k 1", "data": map[string]any{"a": 1.0}}},
		{"XML", `<a/>`, []string{"Content-Type", "application/xml"}, map[string]any{"datacontenttype": "application/xml", "data": "<a/>"}},
		{"text", "a\nb", []string{"Content-Type", "text/plain; charset=utf-8"}, map[string]any{"datacontenttype": "text/plain", "data": "a\nb"}},
		{"no data", "", []string{"Content-Type", "application/json"}, map[string]any{"data": nil}},
		{"nothing said of the data", "12", nil, map[string]any{"data": 12.0}},
		{"percent-encoding", "1", []string{"ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-quoted", `"a \"b\" \\"`}, map[string]any{"subject": "Euro € 😀", "quoted": `a "b" \`}},
		{"tracing", "1", []string{"traceparent", traceparent, "tracestate", "a=b"}, map[string]any{"traceparent": traceparent, "tracestate": "a=b"}},
	} {
		s = newPublishSite(t, nil)
		if code := post(tc.body, append(append([]string{}, required...), tc.header...)...); code != 200 {
			t.Errorf("%s: %d", tc.name, code)
			continue
		}
		e := s.told("one", 1)[0]
		for name, want := range tc.want {
			if got := e[name]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, want %v", tc.name, name, got, want)
			}
		}
	}
	s = newPublishSite(t, nil)
	for name, header := range map[string][]string{
		"no id":                             {"ce-specversion", "1.0", "ce-source", "/shop", "ce-type", "order"},
		"only an id":                        {"ce-id", "7"},
		"another version":                   {"ce-specversion", "0.3", "ce-id", "7", "ce-source", "/shop", "ce-type", "order"},
		"two ids":                           append([]string{"ce-id", "8"}, required...),
		"a bad time":                        append([]string{"ce-time", "yesterday"}, required...),
		"a time that RFC 3339 cannot write": append([]string{"ce-time", "0000-01-01T00:00:00+23:59"}, required...),
		"a line end":                        append([]string{"ce-subject", "a%0Ab"}, required...),
		"no UTF-8":                          append([]string{"ce-subject", "%ff"}, required...),
		"a long name":                       append([]string{"ce-" + strings.Repeat("x", 21), "1"}, required...),
		"no JSON":                           append([]string{"Content-Type", "application/json", "ce-x", "1"}, required...),
		"binary data":                       append([]string{"Content-Type", "image/png", "ce-x", "1"}, required...),
	} {
		if code := post("\xff", header...); code != 400 {
			t.Errorf("%s: %d", name, code)
		}
	}
	if n := s.entries("one"); n != 0 {
		t.Errorf("%d events are in", n)
	}
}

func TestPublishNamesAndSubjects(t *testing.T) {
	s := newPublishSite(t, nil)
	body := `[{"specversion":"1.0","id":"1","source":"s","type":"t"},{"specversion":"1.0","id":"2","source":"s","type":"t","subject":"own"}]`
	decode[any](t, s.do("POST", "/publish?topic=one&subject=eu.1&name=order", body, withToken("Content-Type", "application/cloudevents-batch+json")...), 200)
	if all := s.told("one", 2); all[0]["subject"] != "eu.1" || all[1]["subject"] != "own" {
		t.Errorf("%v", all)
	}
}

// An event that the topic holds already is not put in again.
func TestPublishDuplicates(t *testing.T) {
	type answer struct {
		IDs        []string
		Duplicate  bool
		Duplicates []int
	}
	s := newPublishSite(t, nil)
	cloud := func(id string) string { return `{"specversion":"1.0","id":"` + id + `","source":"s","type":"t"}` }
	post := func(body string) answer {
		t.Helper()
		return decode[answer](t, s.do("POST", "/publish?topic=one", body, withToken("Content-Type", "application/cloudevents-batch+json")...), 200)
	}
	first := post("[" + cloud("1") + "]")
	again := post("[" + cloud("1") + "]")
	if first.Duplicate || !again.Duplicate || len(again.IDs) != 1 || again.IDs[0] != first.IDs[0] {
		t.Errorf("%+v, then %+v", first, again)
	}
	mixed := post("[" + cloud("2") + "," + cloud("1") + "]")
	if mixed.Duplicate || len(mixed.Duplicates) != 1 || mixed.Duplicates[0] != 1 || mixed.IDs[1] != first.IDs[0] {
		t.Errorf("%+v", mixed)
	}
	if n := s.entries("one"); n != 2 {
		t.Errorf("%d events are in", n)
	}
}

// The last events come together with the end, and nothing comes behind it.
func TestPublishClose(t *testing.T) {
	for body, end := range map[string]string{`{"done":true}`: "1", "": "true"} {
		s := newPublishSite(t, nil)
		type answer struct {
			IDs    []string
			Closed bool
		}
		a := decode[answer](t, s.do("POST", "/publish?topic=one&close="+end, body, withToken("Content-Type", "application/json")...), 200)
		if !a.Closed || len(a.IDs) != len(body)/13 {
			t.Errorf("%+v", a)
		}
		if w := s.do("POST", "/publish?topic=one", "1", withToken("Content-Type", "application/json")...); w.Code != 410 {
			t.Errorf("behind the end: %d", w.Code)
		}
		if w := s.glance("/sse-stream?topic=one&format=json&last_event_id=" + strings.Join(a.IDs, "")); body != "" && w.Code != 204 {
			t.Errorf("who has it all: %d", w.Code)
		}
	}
}

// A right to some subjects is a right to publish about those, and not to end
// the topic.
func TestPublishSubjectsAreRights(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		r, err := rights.New(rights.Options{TokenFile: tokenFile(t, "publish some one/eu.*,one/us\npublish all one")})
		if err != nil {
			t.Fatal(err)
		}
		o.Access.Rights = r
	})
	cloud := func(subject string) string {
		return `{"specversion":"1.0","id":"` + subject + `","source":"s","type":"t","subject":"` + subject + `"}`
	}
	for _, tc := range []struct {
		token, query, body string
		status             int
	}{
		{"some", "", "[" + cloud("eu.1") + "," + cloud("us") + "]", 200},
		{"some", "", "[" + cloud("eu.1") + "," + cloud("us.1") + "]", 403},
		{"some", "", "[" + cloud("eu") + "]", 403},
		{"some", "&subject=eu.2", `[{"specversion":"1.0","id":"x","source":"s","type":"t"}]`, 200},
		{"some", "", `[{"specversion":"1.0","id":"y","source":"s","type":"t"}]`, 403},
		{"some", "&close=1", "[" + cloud("eu.9") + "]", 403},
		{"all", "", "[" + cloud("asia") + "]", 200},
		{"all", "&close=1", "[" + cloud("asia.2") + "]", 200},
	} {
		before := s.entries("one")
		w := s.do("POST", "/publish?topic=one"+tc.query, tc.body, "Authorization", "Bearer "+tc.token, "Content-Type", "application/cloudevents-batch+json")
		if w.Code != tc.status {
			t.Errorf("%s%s %s: %d, want %d: %s", tc.token, tc.query, tc.body, w.Code, tc.status, w.Body)
		}
		if w.Code != 200 && s.entries("one") != before {
			t.Errorf("%s%s %s: something of what was refused is in", tc.token, tc.query, tc.body)
		}
	}
}

// Who may publish about one subject neither learns the ID of an event about another,
// nor keeps one out by having been there first.
func TestPublishersOfSubjectsAreApart(t *testing.T) {
	s := newSite(t, func(o *web.Options) {
		o.Access.Rights = mustRights(t, "", "", tokenFile(t, "publish mine one/eu.*\npublish theirs one/us.*"))
	})
	post := func(token, subject string) (id string, duplicate bool) {
		t.Helper()
		w := s.do("POST", "/publish?topic=one", `{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"`+subject+`"}`,
			"Authorization", "Bearer "+token, "Content-Type", "application/cloudevents+json")
		a := decode[struct {
			IDs       []string
			Duplicate bool
		}](t, w, 200)
		return a.IDs[0], a.Duplicate
	}
	first, _ := post("mine", "eu.1")
	other, duplicate := post("theirs", "us.1")
	if duplicate || other == first || s.entries("one") != 2 {
		t.Errorf("an event about another subject is said to be a duplicate (%v), under %s: %d events are in", duplicate, other, s.entries("one"))
	}
	if again, duplicate := post("mine", "eu.1"); !duplicate || again != first {
		t.Errorf("the first again: %s, duplicate: %v, want %s", again, duplicate, first)
	}
}

// Whatever a publisher sends, it is taken whole or refused, and what is taken
// can be told.
func FuzzPublish(f *testing.F) {
	for _, contentType := range []string{"", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "application/x-ndjson", "text/plain", "application/xml", "a/b+json"} {
		f.Add(contentType, "7", "eu%20", "2026-01-02T03:04:05Z", []byte(`[{"specversion":"1.0","id":"1","source":"s","type":"t"}]`))
	}
	s := newPublishSite(f, nil)
	f.Fuzz(func(t *testing.T, contentType, id, subject, when string, body []byte) {
		r := newRequest("POST", "/publish?topic=one", string(body), bearerHeader...)
		r.Header["Content-Type"] = []string{contentType}
		if id != "" {
			r.Header["Ce-Id"], r.Header["Ce-Specversion"], r.Header["Ce-Source"], r.Header["Ce-Type"] = []string{id}, []string{"1.0"}, []string{"s"}, []string{"t"}
			r.Header["Ce-Subject"], r.Header["Ce-Time"] = []string{subject}, []string{when}
		}
		switch w := ask(s.public, r); w.Code {
		case 200, 400, 413, 415:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
