//go:build unix

// Soak runs Weir as a small cluster under load and misfortune, and accounts for
// every event. It starts the real binary twice over a real Redis, publishes 200
// events a second, lets clients come and go in every way, and kills, drains and
// stops the servers in turn. Of the clients that stay, a third read by Weir's own
// client, one is an EventSource of npm and one a Go library. At the end it prints a table, and fails when an
// event was lost or came twice, or when the servers do not get back what the
// clients have used.
//
//	go run ./e2e/soak -for 10m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	length  time.Duration
	binary  string
	race    bool
	churn   int
	steady  int
	slow    int
	keepDir string
}

// errFailed is what run returns when the table says what is wrong.
var errFailed = errors.New("the soak has failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "soak:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&o.length, "for", 10*time.Minute, "how long there is load; starting and ending come on top")
	flags.StringVar(&o.binary, "weir", "", "the binary to run; without it, one is built")
	flags.BoolVar(&o.race, "race", false, "build it with the race detector")
	flags.IntVar(&o.churn, "churn", 200, "clients that come and go")
	flags.IntVar(&o.steady, "steady", 30, "clients that stay, beside two that nobody here wrote")
	flags.IntVar(&o.slow, "slow", 10, "clients that stop reading, half of them for good")
	flags.StringVar(&o.keepDir, "keep", "", "directory for the servers' logs and data, which is not removed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.length < 10*time.Second {
		return fmt.Errorf("-for %v: ten seconds are the least in which there is anything to see", o.length)
	}
	dir, err := workDir(o.keepDir)
	if err != nil {
		return err
	}
	if o.binary == "" {
		if o.binary, err = build(ctx, dir, o.race, stderr); err != nil {
			return err
		}
	}
	// Whatever happens, it ends by itself.
	ctx, cancel := context.WithTimeout(ctx, o.length+5*time.Minute)
	defer cancel()
	err = soakIn(ctx, dir, o, stdout)
	switch {
	case o.keepDir != "":
	case err != nil:
		fmt.Fprintf(stdout, "The servers' logs are in %s.\n", dir)
	default:
		err = os.RemoveAll(dir)
	}
	return err
}

func workDir(keep string) (string, error) {
	if keep == "" {
		return os.MkdirTemp("", "weir-soak-")
	}
	if err := os.Mkdir(keep, 0o700); err != nil {
		return "", fmt.Errorf("-keep: %w", err)
	}
	return filepath.Abs(keep)
}

func build(ctx context.Context, dir string, race bool, stderr io.Writer) (string, error) {
	path := filepath.Join(dir, "weir")
	args := []string{"build", "-o", path}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "weir/cmd/weir")...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building weir: %w", err)
	}
	return path, nil
}
