package stream

import (
	"testing"
	"unsafe"
)

// TestSessionLayout holds what a delivery needs to the place where one reading
// of memory brings it all.
func TestSessionLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("counted in words of 64 bits")
	}
	var s session
	first := unsafe.Offsetof(s.cur) + unsafe.Offsetof(s.cur.next)
	end := unsafe.Offsetof(s.conn) + unsafe.Offsetof(s.conn.Started) + unsafe.Sizeof(s.conn.Started)
	if size := unsafe.Sizeof(s); size != 512 || first%128 != 0 || end-first != 128 {
		t.Errorf("a session has %d bytes, and of them %d..%d for a delivery", size, first, end)
	}
}
