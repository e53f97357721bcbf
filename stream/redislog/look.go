package redislog

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/stream"
	"weir/stream/eventlog"
)

//go:embed look.lua
var lookLua string

var lookScript = redis.NewScript(lookLua)

// Limits of a page.
const (
	maxPageEntries = 256
	maxPageBytes   = 256 << 10
)

// A snapshot is what Redis says of a stream at one moment.
type snapshot struct {
	same    bool      // it is what it was; nothing else is said
	now     time.Time // Redis's clock
	exists  bool
	length  int64
	added   int64     // entries, ever
	first   stream.ID // the oldest entry held; zero when there is none
	last    stream.ID // the newest entry ever
	entries []entry
	full    bool // there are more entries
}

// trimmed is how many entries Redis has dropped.
func (s *snapshot) trimmed() int64 { return s.added - s.length }

// floor is the ID up to which Redis cannot vouch: what came up to then was
// trimmed, or the stream did not exist.
func (s *snapshot) floor() stream.ID {
	switch {
	case s.length > 0:
		return before(s.first)
	case !s.last.IsZero():
		return s.last
	default:
		return before(eventlog.IDAt(s.now))
	}
}

// before returns the greatest ID below id.
func before(id stream.ID) stream.ID {
	switch {
	case id.Seq > 0:
		id.Seq--
	case id.Milli > 0:
		id = stream.ID{Milli: id.Milli - 1, Seq: math.MaxUint64}
	}
	return id
}

// A question is what a follower wants to know of its stream.
type question struct {
	key   string
	after stream.ID // where the page begins
	bytes int       // of the page, about
	// Nothing is to be said when the stream has so many entries and this last ID.
	length int64
	last   string
}

// whole is the question that is always answered.
func whole(key string, after stream.ID, bytes int) question {
	return question{key: key, after: after, bytes: bytes, length: -1}
}

func (q *question) args() []any {
	return []any{q.after.String(), maxPageEntries, q.bytes, q.length, q.last}
}

// look asks several questions at once. An error that concerns one stream alone
// stands in errs; err is a failure of the whole.
func (b *Broker) look(ctx context.Context, client *redis.Client, questions []question) (snapshots []*snapshot, errs []error, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	answers := make([]*redis.Cmd, len(questions))
	ask := func() error {
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, q := range questions {
				answers[i] = lookScript.EvalShaRO(ctx, p, []string{q.key, b.sideKey(q.key)}, q.args()...)
			}
			return nil
		})
		return err
	}
	err = ask()
	if refused(err, "NOSCRIPT") {
		if err := lookScript.Load(ctx, client).Err(); err != nil {
			return nil, nil, err
		}
		err = ask()
	}
	var answer redis.Error
	if err != nil && !errors.As(err, &answer) {
		return nil, nil, err
	}
	snapshots, errs = make([]*snapshot, len(questions)), make([]error, len(questions))
	for i, a := range answers {
		value, err := a.Result()
		if err == nil {
			snapshots[i], err = parseSnapshot(value)
		}
		errs[i] = err
	}
	return snapshots, errs, nil
}

// parseSnapshot reads the answer of look.lua.
func parseSnapshot(answer any) (*snapshot, error) {
	parts, ok := answer.([]any)
	if !ok || len(parts) != 0 && len(parts) != 2 && len(parts) != 8 {
		return nil, errSnapshot
	}
	if len(parts) == 0 {
		return &snapshot{same: true}, nil
	}
	var numbers [2]int64
	for i := range numbers {
		text, _ := parts[i].(string)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errSnapshot
		}
		numbers[i] = n
	}
	s := &snapshot{now: time.Unix(numbers[0], numbers[1]*1000)}
	if len(parts) == 2 {
		return s, nil
	}
	s.exists = true
	var more int64
	for i, to := range map[int]*int64{2: &s.length, 3: &s.added, 6: &more} {
		if *to, ok = parts[i].(int64); !ok || *to < 0 {
			return nil, errSnapshot
		}
	}
	s.full = more == 1
	for i, to := range map[int]*stream.ID{4: &s.first, 5: &s.last} {
		text, _ := parts[i].(string)
		id, err := stream.ParseID(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		*to = id
	}
	page, ok := parts[7].([]any)
	if !ok || s.added < s.length {
		return nil, errSnapshot
	}
	for _, part := range page {
		e, err := parseEntry(part)
		if err != nil {
			return nil, err
		}
		s.entries = append(s.entries, e)
	}
	return s, nil
}

var errSnapshot = errors.New("an answer of another form")
