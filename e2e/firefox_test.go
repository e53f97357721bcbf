package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFirefox has a real Firefox connect, meet a limit, come back from a cut, and
// look at a journey and at the three views.
func TestFirefox(t *testing.T) {
	firefox := ""
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			firefox = path
			break
		}
	}
	if firefox == "" {
		t.Fatal("no Firefox found: install the package firefox-esr of your system")
	}
	s := startServer(t, "-source", "t=http", "-retry", "1s", "-max-conns-per-client", "1")
	via := startProxy(t, s.addr)
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "test/firefox.mjs", firefox, via.url())
	cmd.Dir = "../web"
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var steps []string
	next := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case word == "step":
			steps = append(steps, rest)
		case word == "ask" && rest == "publish":
			s.publish("t", fmt.Sprintf(`{"seq":%d}`, next))
			next++
		case word == "ask" && rest == "cut":
			via.cut()
		default:
			t.Error(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if want := []string{"connect", "limit", "reconnect", "journey", "streams", "traces", "feed", "disconnect"}; !slices.Equal(steps, want) {
		t.Errorf("Firefox did %v, want %v", steps, want)
	}
}
