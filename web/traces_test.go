package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/telemetry/journey"
	"weir/web"
)

// TestTracesInEveryForm asks as the page, a browser that navigates, and a program
// do.
func TestTracesInEveryForm(t *testing.T) {
	s := newSite(t, full)
	for _, path := range []string{"/traces", "/traces/" + strings.Repeat("a", 32) + "?event=1-0"} {
		for form, header := range map[string][]string{
			"fragment": {"HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors"},
			"page":     {"Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode", "navigate"},
			"json":     {"Accept", "application/json"},
		} {
			w := s.do("GET", path, "", header...)
			body, media := w.Body.String(), w.Header().Get("Content-Type")
			whole := strings.Contains(body, "<html")
			if w.Code != 200 || whole != (form == "page") || (form == "json") != (media == "application/json") {
				t.Errorf("%s as %s: %d %s, a whole page: %v", path, form, w.Code, media, whole)
			}
			if form == "json" && !json.Valid([]byte(body)) {
				t.Errorf("%s: %s", path, body)
			}
			if strings.Contains(body, "<b>\"") {
				t.Errorf("%s as %s: a subject is not escaped", path, form)
			}
		}
	}
	var list struct {
		Traces []struct {
			TotalMS float64 `json:"total_ms"`
			Last    string  `json:"last"`
			URL     string  `json:"url"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(s.do("GET", "/traces", "", "Accept", "application/json").Body.Bytes(), &list); err != nil ||
		len(list.Traces) != 1 || list.Traces[0].TotalMS != 60 || list.Traces[0].Last != "process" || !strings.HasPrefix(list.Traces[0].URL, "/traces/0000") {
		t.Errorf("%+v, %v", list, err)
	}
}

// Who may read little sees the last events of that, however many others came after
// them, and nothing tells how many those were.
func TestTracesOfWhatIsReadable(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	for i := range 120 {
		e := journey.Event{Topic: "two", ID: fmt.Sprintf("%d-0", 1000+i), Subject: "eu.1", Published: time.UnixMilli(int64(1000 + i))}
		if i < 5 {
			e.Topic = "one"
		} else if i < 10 {
			e.Topic, e.Subject = "one", "us.1"
		}
		var ref journey.Ref
		ref.Trace[0], ref.Span[0] = byte(1+i), 1
		store.Publish(ref, e, journey.Span{Began: e.Published, Ended: e.Published.Add(time.Millisecond)})
	}
	s := newSite(t, func(o *web.Options) {
		full(o)
		o.Observe.Traces = store
		o.Access.Rights = mustRights(t, "", "", tokenFile(t, "subscribe few one/eu.*\nsubscribe all"))
	})
	for token, want := range map[string][2]int{"few": {5, 5}, "all": {50, 120}} {
		for _, sort := range []string{"newest", "slowest"} {
			list := decode[struct {
				Held   int
				Topics []string
				Traces []struct{ Topic, Subject string }
			}](t, s.do("GET", "/traces?sort="+sort, "", "Accept", "application/json", "Authorization", "Bearer "+token), 200)
			if len(list.Traces) != want[0] || list.Held != want[1] {
				t.Errorf("%s, %s: %d traces, %d held, want %v", token, sort, len(list.Traces), list.Held, want)
			}
			for _, line := range list.Traces {
				if token == "few" && (line.Topic != "one" || line.Subject != "eu.1") {
					t.Errorf("%s is told of %+v", token, line)
				}
			}
		}
	}
}

// Steps overlap: a publisher hears that its event is in the log when a reader has it on
// screen. The whole is the time to the screen, and each share is what its bar shows.
func TestJourneyEndsAtTheScreen(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	at := func(ms int) time.Time { return time.UnixMilli(int64(5000 + ms)) }
	e := journey.Event{Topic: "one", ID: "5000-0", Published: at(0)}
	ref := journey.Ref{Trace: [16]byte{1}, Span: [8]byte{1}}
	store.Publish(ref, e, journey.Span{Began: at(0), Ended: at(20)})
	store.Deliver(ref, e, journey.Delivery{Connection: "x", Entered: at(1), Began: at(2), Ended: at(11), Batch: 1})
	s := siteOf(t, store)
	type told struct {
		Total float64 `json:"total_ms"`
		Over  float64 `json:"over_ms"`
		Steps []struct {
			Step  string
			Share float64 `json:"share_pct"`
		}
	}
	is := func(want string) {
		t.Helper()
		one := decode[told](t, s.do("GET", "/traces/"+ref.TraceID(), "", "Accept", "application/json"), 200)
		list := decode[struct{ Traces []told }](t, s.do("GET", "/traces?sort=slowest", "", "Accept", "application/json"), 200)
		if len(list.Traces) != 1 {
			t.Fatalf("%d traces", len(list.Traces))
		}
		// The list tells of the event's steps, the journey of the event, too.
		list.Traces[0].Steps = append(one.Steps[:1:1], list.Traces[0].Steps...)
		for _, j := range []told{one, list.Traces[0]} {
			got := fmt.Sprintf("%.0f of %.0f:", j.Total, j.Over)
			for _, step := range j.Steps {
				got += fmt.Sprintf(" %s %.0f", step.Step, step.Share)
			}
			if got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
	}
	is("11 of 20: event 100 send 100 deliver 50")
	html := s.do("GET", "/traces/"+ref.TraceID(), "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String()
	if !strings.Contains(html, ">11.0 ms</strong> <span>from one to delivery · sent to a reader that does not report<") {
		t.Errorf("the journey to a program is told as %s", html)
	}
	if n := strings.Count(html, "<dd>9.00 ms after the journey, and is not all in its time</dd>"); n != 1 {
		t.Errorf("%d steps are said to end after the journey:\n%s", n, html)
	}
	if _, _, err := store.Report(ref, e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
		return journey.Report{Connection: "x", Received: at(7), Shown: at(10)}, true
	}); err != nil {
		t.Fatal(err)
	}
	// The write returned when the page had the event on screen.
	is("10 of 20: event 100 send 100 deliver 30 process 15")
	html = s.do("GET", "/traces/"+ref.TraceID(), "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String()
	if n := strings.Count(html, "<dd>when the page had the event; the server’s write returned 4.00 ms later</dd>"); n != 1 {
		t.Errorf("%d steps are said to end before a write returned:\n%s", n, html)
	}
}

// siteOf is a site with everything, whose journeys are those of the store.
func siteOf(t *testing.T, store *journey.Store) *site {
	t.Helper()
	return newSite(t, func(o *web.Options) {
		full(o)
		o.Observe.Traces = store
	})
}

// aMinuteAgo is an event, and the times so many milliseconds after it.
func aMinuteAgo() (e journey.Event, ref journey.Ref, at func(ms int) time.Time) {
	began := time.Now().Add(-time.Minute)
	at = func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	return journey.Event{Topic: "one", ID: fmt.Sprintf("%d-0", began.UnixMilli()), Published: began}, journey.Ref{Trace: [16]byte{1}, Span: [8]byte{1}}, at
}

// A line of the list, and the journey that it opens, tell of the same reader, and of the
// others that there are.
func TestJourneyOfSeveralReaders(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	s := siteOf(t, store)
	e, ref, at := aMinuteAgo()
	to := func(connection string, ms int) journey.Delivery {
		return journey.Delivery{Connection: connection, Entered: at(1), Began: at(2), Ended: at(ms), Batch: 1}
	}
	store.Publish(ref, e, journey.Span{Began: at(0), Ended: at(1)})
	store.Reader("page").Deliver(ref, to("page", 3))
	store.Deliver(ref, e, to("page", 3))
	if _, _, err := store.Report(ref, e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
		return journey.Report{Connection: "page", Received: at(15), Shown: at(21)}, true
	}); err != nil {
		t.Fatal(err)
	}
	store.Deliver(ref, e, to("program", 544))
	html := func(path string) string {
		return s.do("GET", path, "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String()
	}
	for path, want := range map[string][]string{
		"/traces":                  {">544 ms</b>", ` title="the slowest of 2 readers that are known">sent to a reader that does not report · slowest of 2<`},
		"/traces/" + ref.TraceID(): {">544 ms</strong> <span>from one to delivery · sent to a reader that does not report · the slowest of 2 readers that are known<", ">program<"},
		"/traces/" + ref.TraceID() + "?connection=page":                                    {">21.0 ms</strong> <span>from one to screen · one other reader is known; to the slowest it was sent after 544 ms<"},
		"/traces/" + ref.TraceID() + "?connection=page&mine=former&mine=program&mine=page": {">21.0 ms</strong> <span>from one to screen</span><"},
		"/traces/" + ref.TraceID() + "?mine=page":                                          {">544 ms</strong> <span>from one to delivery · sent to a reader that does not report</span>", ">program<"},
		"/traces/" + ref.TraceID() + "?connection=other&mine=page":                         {"published; nothing known of this reader · 2 other readers are known"},
		"/traces/" + ref.TraceID() + "?connection=other":                                   {">1.00 ms</strong> <span>from one to the log · published; nothing known of this reader · 2 other readers are known; to the slowest it was sent after 544 ms<"},
	} {
		for _, part := range want {
			if got := html(path); !strings.Contains(got, part) {
				t.Errorf("%s: no %s in\n%s", path, part, got)
			}
		}
	}
}

// The slowest of several readers is one of those that were there when the event came, and
// so is their number: pages that are opened afterwards have it as a replay.
func TestJourneyOfLaterReaders(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	s := siteOf(t, store)
	e, ref, at := aMinuteAgo()
	to := func(connection string, ms int, replay bool) {
		d := journey.Delivery{Connection: connection, Entered: at(1), Began: at(ms - 1), Ended: at(ms), Batch: 1, Replay: replay}
		store.Reader(connection).Deliver(ref, d)
		store.Deliver(ref, e, d)
		if _, _, err := store.Report(ref, e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
			return journey.Report{Connection: connection, Received: at(ms + 1), Shown: at(ms + 2)}, true
		}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(query, want, short string, readers, later int) { // short in the list
		t.Helper()
		paths := []string{"/traces/" + ref.TraceID() + query}
		if query == "" {
			paths = append(paths, "/traces")
		}
		for _, path := range paths {
			want := want + "<"
			if path == "/traces" {
				want = strings.TrimSuffix(want, "<") + `">` + short + "<"
			}
			if got := s.do("GET", path, "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String(); !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", path, want, got)
			}
			type told struct{ Readers, Later int }
			got := decode[struct {
				told
				Traces []told
			}](t, s.do("GET", path, "", "Accept", "application/json"), 200)
			if path == "/traces" {
				got.told = got.Traces[0]
			}
			if got.told != (told{readers, later}) {
				t.Errorf("%s: told of %+v, want %d readers, %d of the others later", path, got.told, readers, later)
			}
		}
	}
	store.Publish(ref, e, journey.Span{Began: at(0), Ended: at(1)})
	to("first", 20, false)
	to("opened later", 10_000, true)
	is("", "the only reader that is known to have been there when it came; one more had it later", "1 later", 2, 1)
	is("?connection=opened+later", "· one other reader is known; to the slowest it was on screen after 22.0 ms", "", 2, 0)
	to("second", 30, false)
	is("", "the slowest of 2 readers that are known to have been there when it came; one more had it later", "slowest of 2, 1 later", 3, 1)
	to("opened last", 11_000, true)
	is("", "; 2 more had it later", "slowest of 2, 2 later", 4, 2)
	is("?connection=first", "· one other reader is known to have been there when it came; to the slowest it was on screen after 32.0 ms; 2 more had it later", "", 4, 2)
}

// A journey of which the end has not been told is not shown as a whole one.
func TestJourneyWithoutItsEnd(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	s := siteOf(t, store)
	e := journey.Event{Topic: "one", ID: "5000-0"}
	for n, c := range []struct {
		name string
		ago  time.Duration
		page bool
		want string
	}{
		{"a page, just now", 0, true, "sent; not reported on screen yet"},
		{"a page, long ago", time.Minute, true, "sent; not reported on screen"},
		{"a program", time.Minute, false, "sent to a reader that does not report"},
		{"nobody", time.Minute, false, "published; no reader is known to have it"},
	} {
		at := time.Now().Add(-c.ago)
		e.Published, e.ID = at, fmt.Sprintf("%d-0", at.UnixMilli())
		ref := journey.Ref{Trace: [16]byte{byte(n + 1)}, Span: [8]byte{1}}
		store.Publish(ref, e, journey.Span{Began: at, Ended: at.Add(time.Millisecond)})
		delivery := journey.Delivery{Connection: c.name, Entered: at, Began: at, Ended: at.Add(2 * time.Millisecond), Batch: 1}
		if c.page {
			store.Reader(c.name).Deliver(ref, delivery)
		}
		if c.name != "nobody" {
			store.Deliver(ref, e, delivery)
		}
		for _, path := range []string{"/traces?limit=1", "/traces/" + ref.TraceID()} {
			html := s.do("GET", path, "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String()
			if n > 0 && path == "/traces?limit=1" {
				continue // the newest is the first
			}
			if !strings.Contains(html, c.want+"<") || strings.Contains(html, "&gt; ") != c.page || strings.Contains(html, " data-awaited") != c.page || strings.Contains(html, "to screen<") {
				t.Errorf("%s, %s: no %q in\n%s", c.name, path, c.want, html)
			}
		}
	}
	// It was in the page, and nobody saw it.
	ref := journey.Ref{Trace: [16]byte{1}, Span: [8]byte{1}}
	if _, _, err := store.Report(ref, "", func(_ journey.Event, published time.Time) (journey.Report, bool) {
		at := published.Add(9 * time.Second)
		return journey.Report{Connection: "a page, just now", Received: at, Shown: at, Unseen: true}, true
	}); err != nil {
		t.Fatal(err)
	}
	unseen := s.do("GET", "/traces/"+ref.TraceID(), "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String()
	if want := ">9.00 s</strong> <span>from one to page · in the page; it was not on screen when it came<"; !strings.Contains(unseen, want) || strings.Contains(unseen, " data-awaited") {
		t.Errorf("no %s in\n%s", want, unseen)
	}
	list := s.do("GET", "/traces?sort=newest", "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors").Body.String()
	if n := strings.Count(list, "trace-part"); n != 4 {
		t.Errorf("%d of 4 journeys say what is not known of them:\n%s", n, list)
	}
}

// A row of the page counts from when a server took the event, in whole microseconds: the
// journey does as well. What ends within the same microsecond ends with it.
func TestJourneyIsAsLongAsItsRow(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	start := time.Unix(5, 700) // its row has 5000.000
	e := journey.Event{Topic: "one", ID: "5000-0", Published: start}
	ref := journey.Ref{Trace: [16]byte{1}, Span: [8]byte{1}}
	ended := time.Unix(5, 15_949_900)
	store.Publish(ref, e, journey.Span{Began: start, Ended: ended.Add(7)})
	store.Deliver(ref, e, journey.Delivery{Connection: "x", Entered: start, Began: start, Ended: ended, Batch: 1})
	s := siteOf(t, store)
	type told struct {
		Total float64 `json:"total_ms"`
		Steps []struct {
			Attributes []journey.Fact
		}
		Traces []struct {
			Total float64 `json:"total_ms"`
		}
	}
	path := "/traces/" + ref.TraceID()
	j := decode[told](t, s.do("GET", path, "", "Accept", "application/json"), 200)
	list := decode[told](t, s.do("GET", "/traces", "", "Accept", "application/json"), 200)
	if len(list.Traces) != 1 || j.Total != 15.95 || list.Traces[0].Total != j.Total {
		t.Errorf("the journey takes %v ms, and in the list %+v: the row says 15.950", j.Total, list.Traces)
	}
	for _, step := range j.Steps {
		for _, fact := range step.Attributes {
			if strings.Contains(fact.Value, "after the journey") {
				t.Errorf("it ends %s", fact.Value)
			}
		}
	}
	// Its bars have the colours of the list's, and of the legend's.
	if html := s.do("GET", path, "", "HX-Request", "true").Body.String(); !strings.Contains(html, `class="fill" data-step="send"`) || !strings.Contains(html, `class="fill" data-step="deliver"`) {
		t.Errorf("the bars do not say of which steps they are:\n%s", html)
	}
}

// What is not held any more is not said to be so or so.
func TestJourneyThatIsNotHeld(t *testing.T) {
	store := journey.NewStore("a", 0, 0)
	s := siteOf(t, store)
	says := func(path string, status int, want string) {
		t.Helper()
		w := s.do("GET", path, "", "HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors")
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, no %q in\n%s", path, w.Code, want, w.Body)
		}
	}
	unknown := journey.Ref{Trace: [16]byte{2}, Span: [8]byte{1}}.TraceID()
	says("/traces/"+unknown+"?event=5000-0", 404, "published before this server was started")
	says(fmt.Sprintf("/traces/%s?event=%d-0", unknown, time.Now().Add(time.Minute).UnixMilli()), 404, "Nothing is known of this trace here")

	// More pages have reported than are kept, and then had more events than are remembered.
	at := time.Now()
	e := journey.Event{Topic: "one", ID: fmt.Sprintf("%d-0", at.UnixMilli()), Published: at}
	ref := journey.Ref{Trace: [16]byte{1}, Span: [8]byte{1}}
	store.Publish(ref, e, journey.Span{Began: at, Ended: at.Add(time.Millisecond)})
	for i := range journey.MaxReports + 2 {
		d := journey.Delivery{Connection: fmt.Sprint("page-", i), Entered: at, Began: at, Ended: at.Add(2 * time.Millisecond), Batch: 1}
		store.Deliver(ref, e, d)
		store.Reader(d.Connection).Deliver(ref, d)
		if _, _, err := store.Report(ref, e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
			return journey.Report{Connection: d.Connection, Received: at.Add(3 * time.Millisecond), Shown: at.Add(4 * time.Millisecond)}, true
		}); err != nil {
			t.Fatal(err)
		}
		for k := range 500 {
			store.Reader(d.Connection).Deliver(journey.Ref{Trace: [16]byte{3, byte(k), byte(k >> 8)}}, d)
		}
	}
	says("/traces/"+ref.TraceID()+fmt.Sprint("?connection=page-", journey.MaxReports+1), 200, "sent; whether it was on screen is no longer held")
	says("/traces/"+ref.TraceID()+"?connection=page-0", 200, "to screen")
}
