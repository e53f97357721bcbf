//go:build unix

package disklog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/eventlog"
)

// The tests run themselves as a child, to kill it, to limit it, or to stand
// between it and its disk.
var children = map[string]func() error{"publish": childPublish, "full": childFull}

func TestMain(m *testing.M) {
	role := os.Getenv("DISKLOG_TEST_CHILD")
	if role == "" {
		os.Exit(m.Run())
	}
	time.AfterFunc(2*patience, func() { fail(errors.New("the child hangs")) })
	fail(children[role]())
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func childOptions() (dir string, opts disklog.Options, err error) {
	opts = disklog.Options{Sync: os.Getenv("DISKLOG_TEST_SYNC") == "true", Logger: slog.New(slog.DiscardHandler)}
	opts.History, err = strconv.Atoi(os.Getenv("DISKLOG_TEST_HISTORY"))
	return os.Getenv("DISKLOG_TEST_DIR"), opts, err
}

func child(t *testing.T, role, dir string, sync bool, history int, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DISKLOG_TEST_CHILD="+role, "DISKLOG_TEST_DIR="+dir,
		"DISKLOG_TEST_SYNC="+strconv.FormatBool(sync), "DISKLOG_TEST_HISTORY="+strconv.Itoa(history))
	cmd.Stderr = os.Stderr
	return cmd
}

const crashTopics = 3

// childPublish publishes to several topics at once, in batches, from the
// numbers on that it is given, and writes a line for each batch that was
// acknowledged, until it is killed.
func childPublish() error {
	dir, opts, err := childOptions()
	if err != nil {
		return err
	}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i, arg := range os.Args[1:] {
		next, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		go func() {
			for {
				var batch []*stream.Event
				size := 1 + rand.IntN(4)
				for j := range size {
					// The number, and how much of the batch comes after it.
					batch = append(batch, event(fmt.Sprintf("%d %d %s", next+j, size-1-j, strings.Repeat("x", rand.IntN(2000)))))
				}
				p := &stream.Publication{Events: batch, Checkpoint: strconv.AppendInt(nil, int64(next+size-1), 10)}
				if err := b.Publish(context.Background(), fmt.Sprint("topic", i), p); err != nil {
					failed <- err
					return
				}
				next += size
				// One write, so that a line is whole or is not.
				fmt.Fprintf(os.Stdout, "%d %d %s\n", i, next-1, batch[size-1].ID)
			}
		}()
	}
	return <-failed
}

// The process is killed at any moment, and nothing that was acknowledged is
// lost, nothing is in by half, and the IDs go on.
func TestKilled(t *testing.T) {
	for _, config := range []struct {
		sync            bool
		history, rounds int
	}{
		{false, 1 << 20, 20}, {false, 100, 20}, {true, 1 << 20, 8},
	} {
		t.Run(fmt.Sprintf("Sync=%v,History=%d", config.sync, config.history), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var next [crashTopics]int
			var last [crashTopics]stream.ID
			for round := range config.rounds {
				cmd := child(t, "publish", dir, config.sync, config.history,
					strconv.Itoa(next[0]), strconv.Itoa(next[1]), strconv.Itoa(next[2]))
				type ack struct {
					topic, number int
					id            stream.ID
				}
				var acks []ack
				kill := rand.IntN(120)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(out)
				for lines.Scan() {
					var a ack
					var id string
					if _, err := fmt.Sscan(lines.Text(), &a.topic, &a.number, &id); err != nil {
						t.Fatalf("%q: %v", lines.Text(), err)
					}
					if a.id, err = stream.ParseID(id); err != nil {
						t.Fatal(err)
					}
					acks = append(acks, a)
					if len(acks) == kill+1 {
						if err := cmd.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := cmd.Wait(); err == nil || len(acks) <= kill {
					t.Fatalf("the child ended by itself after %d acknowledgements: %v", len(acks), err)
				}

				b := open(t, dir, disklog.Options{Sync: config.sync, History: config.history})
				for i := range crashTopics {
					log, _ := follow(t, b, fmt.Sprint("topic", i))
					events, _ := held(t, log.All().From(stream.ID{}))
					ids := make(map[int]stream.ID)
					first := -1
					for n, e := range events {
						var number, rest int
						if _, err := fmt.Sscan(string(e.Data), &number, &rest); err != nil {
							t.Fatal(err)
						}
						if n == 0 {
							first = number
						}
						if number != first+n {
							t.Fatalf("round %d: event %d of topic %d carries %d, want %d", round, n, i, number, first+n)
						}
						if n == len(events)-1 && rest > 0 {
							t.Fatalf("round %d: %d events of the last batch of topic %d are not in", round, rest, i)
						}
						ids[number] = e.ID
					}
					if checkpoint, err := b.Checkpoint(t.Context(), fmt.Sprint("topic", i)); err != nil || len(events) > 0 && string(checkpoint) != strconv.Itoa(first+len(events)-1) {
						t.Fatalf("round %d: the checkpoint of topic %d is %s behind event %d: %v", round, i, checkpoint, first+len(events)-1, err)
					}
					if config.history == 1<<20 && len(events) > 0 && first != 0 {
						t.Fatalf("round %d: topic %d begins at event %d", round, i, first)
					}
					for _, a := range acks {
						if a.topic == i && a.number >= first && ids[a.number] != a.id {
							t.Fatalf("round %d: event %d of topic %d was acknowledged as %s, and is %s", round, a.number, i, a.id, ids[a.number])
						}
					}
					// A client resumes from the last event before this round.
					if !last[i].IsZero() {
						events, gaps := held(t, log.All().From(last[i]))
						if config.history == 1<<20 && (len(gaps) > 0 || len(events) != first+len(ids)-next[i]) {
							t.Fatalf("round %d: a client that resumes topic %d got %d events and %v", round, i, len(events), gaps)
						}
					}
					if len(events) > 0 {
						next[i] = first + len(events)
						last[i] = events[len(events)-1].ID
					}
				}
				shut(t, b)
			}
			t.Logf("%v events after %d kills", next, config.rounds)
		})
	}
}

// The disk is full: publishing is refused, reading goes on, and publishing
// works again as soon as there is room. The child limits the size of its files,
// which the kernel enforces for root, too.
func TestFull(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("Sync=%v", sync), func(t *testing.T) {
			t.Parallel()
			if out, err := combined(child(t, "full", t.TempDir(), sync, 1<<20)); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

func combined(cmd *exec.Cmd) ([]byte, error) {
	cmd.Stderr = nil
	return cmd.CombinedOutput()
}

func childFull() error {
	dir, opts, err := childOptions()
	if err != nil {
		return err
	}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		return err
	}
	ctx := context.Background()
	signal.Ignore(syscall.SIGXFSZ)
	path := filepath.Join(dir, disklog.File)
	big := strings.Repeat("x", 8<<10)
	var acked []stream.ID
	put := func() error {
		e := event(fmt.Sprintf("%d %s", len(acked), big))
		err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{e}})
		if err == nil {
			acked = append(acked, e.ID)
		}
		return err
	}
	log := eventlog.New(eventlog.Options{History: 1 << 20, Bytes: 1 << 30})
	reports := make(chan error, 1)
	stop := b.Follow(topic, log, func(err error) { reports <- err })
	defer stop()
	if err := <-reports; err != nil {
		return err
	}
	for range 20 {
		if err := put(); err != nil {
			return err
		}
	}
	for round := range 3 {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := limit(uint64(info.Size()) + 200<<10); err != nil {
			return err
		}
		// A write may find room once more that a reader had kept from use.
		var full, ping error
		for range 10000 {
			if full = put(); full != nil {
				if ping = b.Ping(ctx); ping != nil {
					break
				}
			}
		}
		if !errors.Is(full, stream.ErrUnavailable) || !strings.Contains(full.Error(), "file too large") {
			return fmt.Errorf("round %d: a full disk: %v, want ErrUnavailable and the cause", round, full)
		}
		if !errors.Is(ping, stream.ErrUnavailable) {
			return fmt.Errorf("round %d: Ping: %v, want ErrUnavailable", round, ping)
		}
		// What was acknowledged before is served.
		reader := log.All().From(acked[0])
		for n := 1; n < len(acked); {
			batch, err := reader.Next(ctx)
			if err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
			for _, e := range batch {
				if e.ID != acked[n] {
					return fmt.Errorf("round %d: event %d is %s, want %s", round, n, e.ID, acked[n])
				}
				n++
			}
		}
		if err := limit(1 << 40); err != nil {
			return err
		}
		if err := b.Ping(ctx); err != nil {
			return fmt.Errorf("round %d: Ping with room again: %w", round, err)
		}
		for range 20 {
			if err := put(); err != nil {
				return fmt.Errorf("round %d: with room again: %w", round, err)
			}
		}
	}
	stop()
	if err := b.Close(); err != nil {
		return err
	}
	if b, err = disklog.Open(dir, opts); err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, "done\n"); err != nil {
		return err
	}
	return b.Close()
}

// limit sets the soft limit of a file's size, as far as the hard one lets it.
func limit(size uint64) error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
		return err
	}
	r.Cur = min(size, r.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &r)
}
