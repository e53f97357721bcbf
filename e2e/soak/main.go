//go:build unix

// Soak runs Weir under load and misfortune, and accounts for every event. It has
// the real binary, in several stages side by side, each with what befalls it:
//
//   - cluster: two nodes over a real Redis, 200 events a second, and clients that
//     come and go in every way. Nodes and Redis are killed, drained, stopped; Redis
//     becomes read-only; 300 sockets come that do not read. Of the clients that
//     stay, a third read by Weir's own client, one is an EventSource of npm and one
//     a Go library.
//   - failover: two nodes over a Redis with a replica and Sentinels. The primary is
//     killed, or takes no writes, and the replica takes over; what the replica
//     lacks is lost, and must be told.
//   - disk (Linux only): a node with -data. The disk freezes, or is full; the node
//     is killed.
//   - file: a topic of the same node, fed by the lines of a file, which is rotated
//     by renaming and by copying, also while the node is dead, and in runs of ten
//     minutes and more while the disk takes nothing.
//   - few files, no files: nodes with 256 and 128 descriptors, with bounded sockets
//     and without, to which 300 sockets come that do not read.
//
// What is published and not acknowledged is published again until it is. At the
// end it prints a table, and fails when an event was lost or came twice, when a
// fault was not told, or when the servers do not get back the memory, goroutines
// and descriptors that the clients have used. Each misfortune comes at least once,
// so that a run of a minute takes half a minute more.
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
	if len(os.Args) > 1 && os.Args[1] == behindGate {
		fmt.Fprintln(os.Stderr, "soak:", passGate(os.Args[2:]))
		os.Exit(1)
	}
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
	flags.DurationVar(&o.length, "for", 10*time.Minute, "how long there is load; starting and ending come on top, and a short run lasts until each misfortune has come once")
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
