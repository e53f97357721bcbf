package telemetry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/telemetry"
)

// TestSessions: all streams of one reader share a session: of a page that brings it
// back, and of a client that only resumes.
func TestSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		sessionOf := func(header http.Header) string {
			c := r.connect("/sse-stream", header, nil)
			synctest.Wait()
			_, after, _ := strings.Cut(c.text(), `"session":"`)
			session, _, _ := strings.Cut(after, `"`)
			c.leave()
			return session
		}
		id := r.publish(`1`)[0].String()
		first := sessionOf(http.Header{"User-Agent": {"page"}})
		if got := sessionOf(http.Header{"User-Agent": {"page"}, "Baggage": {"session.id=" + first}}); got != first || first == "" {
			t.Errorf("a page brought back %q and got %q", first, got)
		}
		other := sessionOf(http.Header{"User-Agent": {"other"}})
		if got := sessionOf(http.Header{"User-Agent": {"other"}, "Last-Event-Id": {id}}); got != other || other == first {
			t.Errorf("a client that resumes has the session %q, its last was %q", got, other)
		}
		for _, bad := range []string{"session.id=" + strings.Repeat("x", 100), "session.id=%3Cb%3E", "garbage"} {
			if got := sessionOf(http.Header{"User-Agent": {bad}, "Baggage": {bad}}); strings.Contains(bad, got) {
				t.Errorf("%q became a session", bad)
			}
		}
		time.Sleep(time.Hour)
		if got := sessionOf(http.Header{"User-Agent": {"other"}, "Last-Event-Id": {id}}); got == other {
			t.Error("a session lasts for an hour without a stream")
		}
		r.close()
	})
}

// TestSessionsAreNotMerged: where a client that resumes may be one of several, or several
// may be the same, each has a session of its own.
func TestSessionsAreNotMerged(t *testing.T) {
	for name, test := range map[string]struct {
		before int // streams that end before
		stay   int // streams that stay open
		back   int // clients that resume
		known  int // that have a session of before
	}{
		"one comes back":                            {1, 0, 1, 1},
		"two claim the stream of one":               {1, 0, 2, 1},
		"two come back":                             {2, 0, 2, 0},
		"one of two comes back":                     {2, 0, 1, 0},
		"fourteen come back":                        {14, 0, 14, 0},
		"another is open":                           {1, 1, 1, 0},
		"whose end has not been noticed comes back": {0, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, telemetry.Options{}, stream.HubOptions{})
				id := r.publish(`1`)[0].String()
				open := func(header http.Header) (*client, string) {
					c := r.connect("/sse-stream", header, nil)
					synctest.Wait()
					_, after, _ := strings.Cut(c.text(), `"session":"`)
					session, _, _ := strings.Cut(after, `"`)
					return c, session
				}
				sessions := make(map[string]bool)
				var all []*client
				for range test.before {
					c, session := open(nil)
					sessions[session] = true
					all = append(all, c)
				}
				for _, c := range all {
					c.leave()
				}
				var stay []*client
				for range test.stay {
					c, session := open(nil)
					sessions[session] = true
					stay = append(stay, c)
				}
				known, given := 0, make(map[string]int)
				for range test.back {
					c, session := open(http.Header{"Last-Event-Id": {id}})
					if given[session]++; sessions[session] {
						known++
					}
					stay = append(stay, c)
				}
				if known != test.known || len(given) != test.back {
					t.Errorf("of %d who come back %d have a session of before, want %d; the sessions are %v", test.back, known, test.known, given)
				}
				for _, c := range stay {
					c.leave()
				}
				r.close()
			})
		})
	}
}

// The sessions of so many readers are remembered: the newest take the places of
// the oldest.
func TestOldestSessionMakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{})
		defer r.close()
		id := r.publish(`1`)[0].String()
		sessionOf := func(reader int, header http.Header) string {
			header.Set("User-Agent", fmt.Sprint("reader-", reader))
			c := r.connect("/sse-stream", header, nil)
			synctest.Wait()
			c.leave()
			_, after, _ := strings.Cut(c.text(), `"session":"`)
			session, _, _ := strings.Cut(after, `"`)
			return session
		}
		const most, more = 4096, 100
		sessions := make([]string, most+more)
		for i := range sessions {
			sessions[i] = sessionOf(i, http.Header{})
		}
		// A client that resumes is known again, unless it was forgotten. One that was
		// takes the place of the oldest again: so those that are known come first.
		for _, reader := range []int{more, most - 1, most + more - 1, more - 1, 0} {
			if known := sessionOf(reader, http.Header{"Last-Event-Id": {id}}) == sessions[reader]; known != (reader >= more) {
				t.Errorf("reader %d of %d is known: %v", reader, len(sessions), known)
			}
		}
	})
}
