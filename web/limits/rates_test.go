package limits_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"weir/web/limits"
)

func client(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
}

// However many clients come, the table is bounded, no newcomer is refused, and
// whoever is busy stays known.
func TestRatesForgetFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := limits.NewRates(1, 2)
		busy := client(1 << 30)
		rates.Take(busy)
		rates.Take(busy)
		let := 0
		for i := range 5 * limits.MaxClients / 2 {
			if wait := rates.Take(client(i)); wait != 0 {
				t.Fatalf("client %d has to wait %v", i, wait)
			}
			if n := rates.Known(); n > limits.MaxClients {
				t.Fatalf("%d clients are remembered", n)
			}
			if i%1000 == 0 && rates.Take(busy) == 0 {
				let++
			}
		}
		if let > 0 {
			t.Errorf("the flood made the busy client unknown: it was let through %d times", let)
		}
		// After a day's rest it has its burst again, and not more.
		time.Sleep(24 * time.Hour)
		got := 0
		for range 10 {
			if rates.Take(busy) == 0 {
				got++
			}
		}
		if got != 2 {
			t.Errorf("after idleness %d are let through, want the burst of 2", got)
		}
		// Newcomers make it forget clients that have been idle, two each.
		before := rates.Known()
		for i := range 100 {
			rates.Take(client(1<<26 + i))
		}
		if n := rates.Known(); n != before-100 {
			t.Errorf("%d clients are remembered, %d before", n, before)
		}
	})
}

func TestNoRate(t *testing.T) {
	rates := limits.NewRates(0, 0)
	for range 100 {
		if rates.Take(client(1)) != 0 {
			t.Fatal("a rate of 0 is a limit")
		}
	}
	if rates.Known() != 0 {
		t.Error("clients are remembered for nothing")
	}
}
