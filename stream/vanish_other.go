//go:build !linux || 386 || s390x

package stream

import (
	"syscall"
	"time"
)

func unacknowledged(syscall.RawConn) (outstanding bool, quiet time.Duration, ok bool) {
	return false, 0, false
}
