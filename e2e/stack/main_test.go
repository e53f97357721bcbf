package stack_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"weir/e2e/harness"
)

var restarts = flag.Duration("restarts", 15*time.Second, "how long TestEverythingRestartsUnderLoad goes on")

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// token is what publishes in these tests.
const token = "publish-here"

// startNode runs a node on which token publishes.
func startNode(t *testing.T, name string, args ...string) *harness.Node {
	t.Helper()
	return harness.StartNode(t, name, append([]string{"-publish-token", token}, args...)...)
}
