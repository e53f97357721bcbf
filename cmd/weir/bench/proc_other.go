//go:build !linux

package bench

import (
	"context"
	"errors"
	"time"
)

var errNoProc = errors.New("flag -pid needs /proc, which only Linux has")

func procCPU(int) (time.Duration, error) { return 0, errNoProc }
func procRSS(int) (int64, error)         { return 0, errNoProc }
func procFiles(int) (int64, error)       { return 0, errNoProc }

func sleepUntil(ctx context.Context, c clock, at int64) error {
	t := time.NewTimer(c.at(at))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
