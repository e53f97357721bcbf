package rights_test

import (
	"net/http/httptest"
	"testing"

	"weir/web/rights"
)

// A nil Rights is that of the zero Options: everybody reads, nobody publishes.
func TestNilRights(t *testing.T) {
	var none *rights.Rights
	if err := none.Reload(); err != nil {
		t.Errorf("reload: %v", err)
	}
	if !none.Holds("", "topic", nil) || !none.Holds("alice", "topic", []string{"eu.*"}) {
		t.Error("a stream that nobody needed a right for has lost its right")
	}
	if none.Needed(rights.Subscribe) || none.Needed(rights.Publish) {
		t.Error("some right is needed")
	}
	r := httptest.NewRequest("GET", "/sse-stream?ticket=a.b.c", nil)
	r.Header.Set("Authorization", "Bearer secret")
	if who, denial := none.Holder(r, rights.Subscribe, "topic"); denial != nil || !who.May(rights.Subscribe, "topic") {
		t.Errorf("a reader: %+v, %v", who, denial)
	}
	if who, denial := none.Holder(r, rights.Publish, "topic"); denial == nil {
		t.Errorf("a publisher is let in: %+v", who)
	}
	if ticket, denial := none.Ticket(r, func(*rights.Holder) string { return "topic" }); denial == nil {
		t.Errorf("there is a ticket: %+v", ticket)
	}
}
