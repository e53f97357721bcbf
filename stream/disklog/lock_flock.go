//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package disklog

import (
	"errors"
	"os"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// lock locks the file as bbolt does, which then finds the lock to be its own: it
// belongs to the open file. What is checked is what bbolt opens.
func lock(f *os.File, patience time.Duration) error {
	for began := time.Now(); ; time.Sleep(patience / 10) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return err
		case time.Since(began) > patience:
			return bolterrors.ErrTimeout
		}
	}
}
