package web_test

import (
	"strings"
	"testing"

	"weir/stream"
	"weir/web"
)

// HEAD asks whether there is a stream. It needs no place, nor takes one.
func TestHeadTakesNoSlot(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Limits.Conns = 1 })
	refused, leave := s.hold("192.0.2.1:1")
	defer leave()
	if refused != nil {
		t.Fatalf("a stream is refused: %d", refused.StatusCode)
	}
	for range 3 {
		if w := s.do("HEAD", "/sse-stream", ""); w.Code != 200 {
			t.Errorf("HEAD while all places are taken: %d", w.Code)
		}
	}
	s.wantSlots(1, 1)
}

// Who showed nothing is not told that it is wrong (RFC 6750, section 3.1).
func TestWhoShowedNothingIsAskedOnly(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.Access.Rights = mustRights(t, "", secret, "") })
	for _, tc := range []struct {
		header []string
		wrong  bool
	}{{nil, false}, {[]string{"Authorization", "Bearer nonsense"}, true}} {
		w := s.do("GET", "/sse-stream", "", append([]string{"Accept", "application/json, text/event-stream"}, tc.header...)...)
		asked := w.Header().Get("WWW-Authenticate")
		if w.Code != 401 || !strings.HasPrefix(asked, `Bearer realm="weir"`) || strings.Contains(asked, "invalid_token") != tc.wrong {
			t.Errorf("%q: %d, WWW-Authenticate: %q", tc.header, w.Code, asked)
		}
	}
}

// A topic whose broker is away is not well.
func TestHealthWithoutBroker(t *testing.T) {
	s := newSiteOn(t, stream.HubOptions{Broker: brokenBroker{}}, nil)
	h := decode[healthAnswer](t, s.do("GET", "/sse-health", ""), 200)
	if one := h.Topics["one"]; one["status"] != "unwell" || one["broker"] == "up" {
		t.Errorf("%v", one)
	}
}
