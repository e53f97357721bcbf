package disklog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/disklog"
	"weir/stream/disklog/disktest"
	"weir/stream/eventlog"
)

func init() {
	children["asks"] = childAsks
	children["fails"] = childFails
	children["freezes"] = childFreezes
}

// What happens at the disk is tried in a process of its own, in which a filter
// stands before the calls that write.
func TestDisk(t *testing.T) {
	for _, role := range []string{"asks", "fails", "freezes"} {
		for _, sync := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/Sync=%v", role, sync), func(t *testing.T) {
				t.Parallel()
				if out, err := combined(child(t, role, memoryDir(t), sync, 100)); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			})
		}
	}
}

// calls records what the disk is asked for, and answers it.
type calls struct {
	mu     sync.Mutex
	made   []string
	answer func(name string) error // nil: as the disk does
}

func (c *calls) intercept() error {
	return disktest.Intercept(func(call disktest.Call) error {
		c.mu.Lock()
		c.made = append(c.made, call.Name)
		answer := c.answer
		c.mu.Unlock()
		if answer != nil {
			return answer(call.Name)
		}
		return nil
	})
}

func (c *calls) setAnswer(f func(name string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// take returns the calls since the last time, one letter each: w, s, and t for
// write, sync and truncate.
func (c *calls) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, name := range c.made {
		b.WriteByte(map[string]byte{"pwrite": 'w', "fdatasync": 's', "fsync": 's', "ftruncate": 't'}[name])
	}
	c.made = nil
	return b.String()
}

// childAsks checks that an event is acknowledged only when the disk has been
// asked to keep it: first the pages, then, once they are there, the root that
// leads to them. Without Sync nothing is asked for.
func childAsks() error {
	dir, opts, err := childOptions()
	if err != nil {
		return err
	}
	var disk calls
	if err := disk.intercept(); err != nil {
		return err
	}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		return err
	}
	if asked := disk.take(); !strings.Contains(asked, "s") {
		return fmt.Errorf("a new file is made by %s, and is not synced", asked)
	}
	for i := range 50 {
		e := event(fmt.Sprint(i, strings.Repeat("x", 100*i)))
		if err := b.Publish(context.Background(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
			return err
		}
		asked := strings.TrimPrefix(disk.take(), "ts") // the file has grown
		ordered := strings.HasSuffix(asked, "wsws") && !strings.Contains(strings.TrimSuffix(asked, "wsws"), "sw")
		if opts.Sync && !ordered || !opts.Sync && strings.Contains(asked, "s") {
			return fmt.Errorf("event %d was acknowledged after the calls %s", i, asked)
		}
	}
	return b.Close()
}

// childFails checks what is told when the disk does not take what is written:
// nothing is acknowledged then that is not there, and what is there all the same
// is delivered. When the disk is well again, so is all.
func childFails() error {
	dir, opts, err := childOptions()
	if err != nil {
		return err
	}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		return err
	}
	log := eventlog.New(eventlog.Options{})
	up := make(chan error, 10)
	defer b.Follow(topic, log, func(err error) { up <- err })()
	if err := <-up; err != nil {
		return err
	}
	reader := log.All().Live()
	var disk calls
	if err := disk.intercept(); err != nil {
		return err
	}
	ctx := context.Background()
	put := func() (stream.ID, error) {
		e := event("x")
		err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{e}})
		return e.ID, err
	}
	want := func(id stream.ID) error {
		ctx, cancel := contextWithPatience()
		defer cancel()
		entries, err := reader.Next(ctx)
		if err != nil || !id.IsZero() && entries[len(entries)-1].ID != id {
			return fmt.Errorf("event %s has not arrived: %v", id, err)
		}
		return nil
	}
	for name, errno := range map[string]syscall.Errno{"full": syscall.ENOSPC, "broken": syscall.EIO, "read-only": syscall.EROFS} {
		disk.setAnswer(func(string) error { return errno })
		if _, err := put(); !errors.Is(err, stream.ErrUnavailable) || !strings.Contains(err.Error(), errno.Error()) {
			return fmt.Errorf("a disk that is %s: %v", name, err)
		}
		if err := b.Ping(ctx); !errors.Is(err, stream.ErrUnavailable) {
			return fmt.Errorf("a disk that is %s is ready: %v", name, err)
		}
		disk.setAnswer(nil)
		if err := b.Ping(ctx); err != nil {
			return fmt.Errorf("a disk that was %s is not ready: %w", name, err)
		}
		id, err := put()
		if err != nil {
			return err
		}
		if err := want(id); err != nil {
			return err
		}
	}
	if !opts.Sync {
		return b.Close()
	}
	// The last sync of a commit fails: the event is not safe, and is in. Who
	// follows gets it, without another event behind it.
	var syncs atomic.Int32
	disk.setAnswer(func(name string) error {
		if name == "fdatasync" {
			if syncs.Add(1) == 2 {
				return syscall.EIO
			}
		}
		return nil
	})
	if _, err := put(); !errors.Is(err, stream.ErrUnavailable) {
		return fmt.Errorf("the last sync has failed: %v", err)
	}
	if err := want(stream.ID{}); err != nil {
		return err
	}
	disk.setAnswer(nil)
	id, err := put()
	if err != nil {
		return err
	}
	if err := want(id); err != nil {
		return err
	}
	return b.Close()
}

// childFreezes checks that a disk that does not answer holds up nobody for
// longer than the caller wants, or the broker's patience.
func childFreezes() error {
	const patience = 500 * time.Millisecond
	dir, opts, err := childOptions()
	if err != nil {
		return err
	}
	opts.Patience = patience
	opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := disklog.Open(dir, opts)
	if err != nil {
		return err
	}
	ctx := context.Background()
	e := event("before")
	if err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
		return err
	}
	var disk calls
	disk.setAnswer(func(string) error { select {} })
	if err := disk.intercept(); err != nil {
		return err
	}
	for _, deadline := range []time.Duration{50 * time.Millisecond, time.Hour} {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		began := time.Now()
		err := b.Publish(ctx, topic, &stream.Publication{Events: []*stream.Event{event("late")}})
		took := time.Since(began)
		cancel()
		if !errors.Is(err, stream.ErrUnavailable) || took > min(deadline, patience)+time.Second {
			return fmt.Errorf("publishing: %v after %v", err, took)
		}
	}
	// What is held is delivered.
	log := eventlog.New(eventlog.Options{})
	up := make(chan error, 10)
	stop := b.Follow(topic, log, func(err error) { up <- err })
	if err := <-up; err != nil || log.Last() != e.ID {
		return fmt.Errorf("following: %v, up to %s", err, log.Last())
	}
	time.Sleep(2100 * time.Millisecond) // what is known of the disk grows old
	began := time.Now()
	if err := b.Ping(ctx); !errors.Is(err, stream.ErrUnavailable) {
		return fmt.Errorf("a disk that hangs is ready: %w", err)
	}
	stop()
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "not answered") {
		return fmt.Errorf("closing: %w", err)
	}
	if took := time.Since(began); took > 2*patience+2*time.Second {
		return fmt.Errorf("the end took %v", took)
	}
	return nil
}
