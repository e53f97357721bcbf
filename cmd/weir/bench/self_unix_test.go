//go:build unix

package bench

import (
	"math"
	"strings"
	"testing"
)

func TestNeedFiles(t *testing.T) {
	if err := needFiles(16); err != nil {
		t.Error(err)
	}
	if err := needFiles(math.MaxInt); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("a limit that is too low is told as %v", err)
	}
}
