package limits_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"weir/web/limits"
)

// Slots are counted by client and in all, up to the bound and not beyond, and
// each is given back once.
func TestSlots(t *testing.T) {
	s := limits.NewSlots(3, 2)
	take := func(client string, want limits.Shortage) (release func()) {
		t.Helper()
		release, got := s.Take(netip.MustParseAddr(client))
		if got != want || (release == nil) != (want != limits.Room) {
			t.Errorf("a slot for %s: %v, want %v", client, got, want)
		}
		return release
	}
	taken := func(total, clients int) {
		t.Helper()
		if a, b := s.Taken(); a != total || b != clients {
			t.Errorf("%d slots are taken by %d clients, want %d by %d", a, b, total, clients)
		}
	}
	first, second := take("192.0.2.1", limits.Room), take("::ffff:192.0.2.1", limits.Room)
	take("192.0.2.1", limits.PerClient)
	third := take("2001:db8::1", limits.Room)
	take("2001:db8::2", limits.InAll)
	taken(3, 2)
	first()
	first() // does nothing
	taken(2, 2)
	fourth := take("2001:db8::ffff", limits.Room) // of the same /64
	take("2001:db8::3", limits.PerClient)
	taken(3, 2)
	for _, release := range []func(){second, third, fourth} {
		release()
	}
	taken(0, 0)
	none := limits.NewSlots(0, 0)
	for range 1000 {
		if _, shortage := none.Take(netip.MustParseAddr("192.0.2.1")); shortage != limits.Room {
			t.Fatal("there is no bound, and it is reached")
		}
	}
}

// An attempt that is refused does not put off the next one.
func TestRefusedAttemptsCountForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := limits.NewRates(1, 1)
		client := netip.MustParseAddr("192.0.2.1")
		if wait := r.Take(client); wait != 0 {
			t.Errorf("the first waits for %v", wait)
		}
		for range 100 {
			if wait := r.Take(client); wait <= 0 || wait > time.Second {
				t.Fatalf("one that is refused is to wait for %v", wait)
			}
		}
		time.Sleep(time.Second)
		if wait := r.Take(client); wait != 0 {
			t.Errorf("a second later it is to wait for %v", wait)
		}
	})
}
