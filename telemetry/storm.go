package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How much is written of one kind of record: so many within a second, and then one
// that counts the rest.
const (
	stormLines = 20
	stormEvery = time.Second
)

// A storm sums up records of which there are very many: thousands of clients come
// at once, or go. A kind is a message and its reason, of which there are few.
type storm struct {
	mu    sync.Mutex
	kinds map[string]*squall
}

// A squall is the present second of a kind.
type squall struct{ lines, more int }

// pass reports whether a record is to be written. Of those that are not, tell is
// called with their number when the second is over.
func (s *storm) pass(kind string, tell func(more int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = make(map[string]*squall)
	}
	q := s.kinds[kind]
	if q == nil {
		q = &squall{}
		s.kinds[kind] = q
		time.AfterFunc(stormEvery, func() { s.over(kind, tell) })
	}
	if q.lines < stormLines {
		q.lines++
		return true
	}
	q.more++
	return false
}

func (s *storm) over(kind string, tell func(more int)) {
	s.mu.Lock()
	more := s.kinds[kind].more
	delete(s.kinds, kind)
	s.mu.Unlock()
	if more > 0 {
		tell(more)
	}
}

// write writes a record about a stream, unless there are too many of its kind.
func (t *Telemetry) write(ctx context.Context, level slog.Level, message, reason string, attrs ...slog.Attr) {
	logger := t.logger()
	if !logger.Enabled(ctx, level) {
		return
	}
	if reason != "" {
		attrs = append(attrs, slog.String("reason", reason))
	}
	more := func(n int) {
		sum := []slog.Attr{slog.String("node", t.opts.Node), slog.Int("more", n)}
		if reason != "" {
			sum = append(sum, slog.String("reason", reason))
		}
		logger.LogAttrs(context.Background(), level, message+", and more within a second", sum...)
	}
	if t.storm.pass(message+" "+reason, more) {
		logger.LogAttrs(ctx, level, message, attrs...)
	}
}
