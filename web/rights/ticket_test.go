package rights_test

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/web/rights"
)

// A ticket holds for its topic, for its life, and in its one form.
func TestTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRights(t, rights.Options{SubscribeToken: "secret", TicketLife: time.Minute})
		ask := httptest.NewRequest("POST", "/ticket", nil)
		ask.Header.Set("Authorization", "Bearer secret")
		ticket, denial := r.Ticket(ask, func(*rights.Holder) string { return "one" })
		if denial != nil {
			t.Fatal(denial)
		}
		allowed := func(text, topic string) bool {
			_, denial := r.Holder(httptest.NewRequest("GET", "/?ticket="+url.QueryEscape(text), nil), rights.Subscribe, topic)
			return denial == nil
		}
		if !allowed(ticket.Text, "one") || allowed(ticket.Text, "two") || allowed(ticket.Text[1:], "one") {
			t.Errorf("for its topic %v, for another %v, cut off %v", allowed(ticket.Text, "one"), allowed(ticket.Text, "two"), allowed(ticket.Text[1:], "one"))
		}
		if allowed(ticket.Text[:8]+"\n"+ticket.Text[8:], "one") {
			t.Error("a ticket with a line end in it is valid")
		}
		time.Sleep(time.Minute)
		if !allowed(ticket.Text, "one") {
			t.Error("it is over before its time")
		}
		time.Sleep(time.Second)
		if allowed(ticket.Text, "one") {
			t.Error("it goes on after its time")
		}
	})
}

// What lines of one token allow is added up, and asked for whole.
func TestLinesOfOneToken(t *testing.T) {
	r := newRights(t, rights.Options{TokenFile: write(t, "subscribe t one/eu.*\nsubscribe t one/us.ny\npublish t two\n")})
	who, denial := r.Holder(request("t"), rights.Subscribe, "one")
	if denial != nil {
		t.Fatal(denial)
	}
	if got := who.Grants(rights.Subscribe); !slices.Equal(got, []string{"one/eu.*", "one/us.ny"}) {
		t.Errorf("the token allows %q", got)
	}
	for _, tc := range []struct {
		subjects []string
		want     bool
	}{
		{nil, false}, {[]string{"eu.de"}, true}, {[]string{"eu.*", "us.ny"}, true}, {[]string{"eu.de", "us.la"}, false}, {[]string{"us.*"}, false},
	} {
		if got := who.MayAllOf(rights.Subscribe, "one", tc.subjects); got != tc.want {
			t.Errorf("all of %q: %v", tc.subjects, got)
		}
		if got := r.Holds(who.Identity, "one", tc.subjects); got != tc.want {
			t.Errorf("a stream of %q may go on: %v", tc.subjects, got)
		}
	}
}
