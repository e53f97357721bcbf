package web

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// digestEvery is how often a kind of record is written at most.
const digestEvery = time.Minute

// A digest writes what clients can cause as often as they like: of each kind the first
// record at once, and then, while it goes on, one a minute that says how many there
// were. A kind is a message with its reason; there are few. Any goroutine may call
// write.
type digest struct {
	logger *slog.Logger

	mu    sync.Mutex
	kinds map[digestKind]*digested
}

type digestKind struct {
	message, reason string
}

// digested are the records of a kind since the last that was written.
type digested struct {
	times int
	level slog.Level
	last  []slog.Attr // of the last
}

func (d *digest) write(level slog.Level, message, reason string, attrs ...slog.Attr) {
	kind := digestKind{message, reason}
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.kinds[kind]; k != nil {
		k.times++
		k.level, k.last = level, attrs
		return
	}
	if d.kinds == nil {
		d.kinds = make(map[digestKind]*digested)
	}
	d.kinds[kind] = &digested{}
	d.tell(level, kind, 1, attrs)
	time.AfterFunc(digestEvery, func() { d.again(kind) })
}

// again tells of a kind that goes on, and forgets one that does not.
func (d *digest) again(kind digestKind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.kinds[kind]
	if k.times == 0 {
		delete(d.kinds, kind)
		return
	}
	d.tell(k.level, kind, k.times, k.last)
	*k = digested{}
	time.AfterFunc(digestEvery, func() { d.again(kind) })
}

func (d *digest) tell(level slog.Level, kind digestKind, times int, attrs []slog.Attr) {
	if kind.reason != "" {
		attrs = append([]slog.Attr{slog.String("reason", kind.reason)}, attrs...)
	}
	if times > 1 {
		attrs = append(attrs, slog.Int("times", times), slog.String("within", digestEvery.String()))
	}
	d.logger.LogAttrs(context.Background(), level, kind.message, attrs...)
}
