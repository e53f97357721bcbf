package eventlog_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"weir/stream/eventlog"
)

// A name that is accepted stands in a URL's path as it is, and is one segment.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"orders", "user.42", "a:b@c", "$x", "..", ".", "a/b", "a%2e", "ä", "a b", "", strings.Repeat("x", 129)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		topic, subject := eventlog.CheckTopic(name), eventlog.CheckSubject(name)
		if topic == nil && subject != nil {
			t.Errorf("%q is a topic, and no subject: %v", name, subject)
		}
		for _, err := range []error{topic, subject} {
			if err != nil && !errors.Is(err, eventlog.ErrBadName) {
				t.Errorf("%q: %v is no ErrBadName", name, err)
			}
		}
		if subject != nil {
			return
		}
		u, err := url.Parse("http://h/t/" + name + "?q")
		if err != nil || u.Path != "/t/"+name || u.JoinPath().Path != u.Path || u.RawQuery != "q" {
			t.Errorf("%q makes the URL %v, %v", name, u, err)
		}
		if strings.ContainsAny(name, "*, =/\r\n\x00") {
			t.Errorf("%q is accepted", name)
		}
	})
}

// A filter lets through what one of its patterns does, whatever their order, and
// its form is the only one.
func FuzzFilter(f *testing.F) {
	f.Add("eu.*,42,eu.*", "eu.de")
	f.Add("*,a", "x")
	f.Add("a.*", "a.")
	f.Add("a.*.*", "a.*.b")
	f.Add(".*", ".x")
	f.Fuzz(func(t *testing.T, list, subject string) {
		patterns := strings.Split(list, ",")
		filter, err := eventlog.ParseFilter(patterns)
		if err != nil {
			if !errors.Is(err, eventlog.ErrBadName) {
				t.Errorf("%q: %v is no ErrBadName", list, err)
			}
			return
		}
		want := false
		for _, p := range patterns {
			prefix, below := strings.CutSuffix(p, ".*")
			want = want || p == "*" || p == subject || below && strings.HasPrefix(subject, prefix+".") && subject != prefix+"."
		}
		if got := filter.Match(subject); got != want {
			t.Errorf("%q lets %q through: %v", list, subject, got)
		}
		slices.Reverse(patterns)
		if again, err := eventlog.ParseFilter(append(patterns, patterns...)); err != nil || !slices.Equal(again, filter) {
			t.Errorf("%q is %q, and backwards %q, %v", list, filter, again, err)
		}
	})
}

// A CloudEvent that is accepted can be served, and what is served is accepted,
// as the same event.
func FuzzCloudEvent(f *testing.F) {
	for _, text := range []string{
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[1,null]}}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain; charset=utf-8","data":"x\u2028\n"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"e30=","time":"2026-01-02T03:04:05.6+07:00","ext":1}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"eu.de","traceparent":"00-1-2-3","tracestate":"a=b","x":null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := eventlog.ParseCloudEvent(text)
		if err != nil {
			if !errors.Is(err, eventlog.ErrInvalid) {
				t.Errorf("%q: %v is no ErrInvalid", text, err)
			}
			return
		}
		e.ID = eventlog.ID{Milli: 1}
		line, err := e.AppendCloudEvent(nil)
		if err != nil || !json.Valid(line) {
			t.Fatalf("%q is accepted, and served as %q, %v", text, line, err)
		}
		again, err := eventlog.ParseCloudEvent(line)
		if err != nil {
			t.Fatalf("%q is served as %q, which is refused: %v", text, line, err)
		}
		again.ID = e.ID
		twice, err := again.AppendCloudEvent(nil)
		if err != nil || again.Type != e.Type || again.Subject != e.Subject || !again.Time.Equal(e.Time) || len(again.Extensions) != len(e.Extensions) {
			t.Errorf("%q is served as %q, and that as %q, %v", text, line, twice, err)
		}
	})
}
