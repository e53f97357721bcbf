package redislog

import (
	"context"
	"crypto/sha256"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"weir/stream"
	"weir/stream/internal/record"
)

//go:embed publish.lua
var publishLua string

var publishScript = redis.NewScript(publishLua)

// maxInline is how large a publication may be to be in its notification: larger
// ones are read by each node when it is ready for them.
const maxInline = 16 << 10

// Fields of a topic's side hash.
const (
	sideCheckpoint = "checkpoint"
	sideTurn       = "turn"
)

// key returns the name of a topic's stream. It names the channel of the topic's
// notifications as well.
func (b *Broker) key(topic string) string { return b.opts.Prefix + "topic:" + topic }

// sideKey returns the name of the hash beside a stream. The stream's name is in
// braces, so that Redis Cluster keeps all keys of a topic in one slot.
func (b *Broker) sideKey(key string) string { return b.opts.Prefix + "side:{" + key + "}" }

// scriptKeys returns the keys that publish.lua works on.
func (b *Broker) scriptKeys(key string) []string {
	return []string{
		key, b.sideKey(key), b.opts.Prefix + "marks:{" + key + "}",
		b.opts.Prefix + "ids1:{" + key + "}", b.opts.Prefix + "ids2:{" + key + "}",
	}
}

// indexKey is what stands for an event in the index of publishers' IDs.
func indexKey(e *stream.Event) []byte {
	if e.ForeignID == "" {
		return nil
	}
	text := e.Source + "\x00" + e.ForeignID // neither has a NUL
	if e.Subject != "" {                    // without one it is as it was before subjects counted
		text += "\x00" + e.Subject
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}

// Publish implements [stream.Broker]. It takes at most Options.Timeout.
func (b *Broker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	p.Duplicate = nil
	if len(p.Events) == 0 && p.End == "" && p.Checkpoint == nil {
		return nil
	}
	l := b.limits(topic)
	turn := "" // no checkpoint
	if p.Checkpoint != nil {
		turn = b.turn(topic)
	}
	args := make([]any, 0, 8+3*len(p.Events))
	args = append(args, record.Version, l.MaxLen, l.MaxBytes, maxInline, l.Expire.Milliseconds(), p.End, turn, p.Checkpoint)
	for _, e := range p.Events {
		attrs, err := record.Attributes(e)
		if err != nil {
			return err
		}
		args = append(args, attrs, e.Data, indexKey(e))
	}
	ids, again, err := b.store(ctx, b.key(topic), args)
	if err != nil {
		if turn != "" && errors.Is(err, ErrUnconfirmed) {
			b.mu.Lock()
			b.undecided[topic]++
			b.mu.Unlock()
		}
		return err
	}
	if len(ids) != len(p.Events) {
		return unavailable(fmt.Errorf("%w: %d IDs for %d events", ErrUnconfirmed, len(ids), len(p.Events)))
	}
	for i, e := range p.Events {
		e.ID = ids[i]
		if again[i] {
			if p.Duplicate == nil {
				p.Duplicate = make([]bool, len(p.Events))
			}
			p.Duplicate[i] = true
		} else {
			b.acknowledged(topic, e.ID)
		}
	}
	return nil
}

// store runs publish.lua. It never repeats what may have been done.
func (b *Broker) store(ctx context.Context, key string, args []any) (ids []stream.ID, again []bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, nil, unavailable(err)
	}
	answer, err := b.run(ctx, publishScript, key, b.scriptKeys(key), args)
	switch {
	case refused(err, "ENDED"):
		return nil, nil, stream.ErrClosed
	case err != nil && mayBeIn(err):
		return nil, nil, unavailable(fmt.Errorf("%w: %w", ErrUnconfirmed, err))
	case err != nil:
		return nil, nil, unavailable(err)
	}
	if ids, again, err = parseStored(answer); err != nil {
		return nil, nil, unavailable(fmt.Errorf("%w: %w", ErrUnconfirmed, err))
	}
	return ids, again, nil
}

// parseStored reads the answer of publish.lua.
func parseStored(answer any) (ids []stream.ID, again []bool, err error) {
	parts, _ := answer.([]any)
	if len(parts) != 2 {
		return nil, nil, errors.New("an answer of another form")
	}
	texts, _ := parts[0].([]any)
	marks, _ := parts[1].(string)
	if len(texts) != len(marks) {
		return nil, nil, errors.New("an answer of another form")
	}
	ids, again = make([]stream.ID, len(texts)), make([]bool, len(texts))
	for i := range texts {
		text, _ := texts[i].(string)
		if ids[i], err = stream.ParseID(text); err != nil {
			return nil, nil, fmt.Errorf("the ID of an event: %w", err)
		}
		again[i] = marks[i] == '1'
	}
	return ids, again, nil
}

// turn names the present turn of a topic's source: see Checkpoint.
func (b *Broker) turn(topic string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.instance + " " + strconv.FormatInt(b.undecided[topic], 10)
}

// Checkpoint implements [stream.Checkpointer]. A publication of this process to
// which Redis did not answer may reach Redis still. Checkpoint begins a new
// turn, after which Redis refuses what belongs to an earlier one.
func (b *Broker) Checkpoint(ctx context.Context, topic string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	key := b.key(topic)
	client, err := b.servers.forKey(ctx, key)
	if err != nil {
		return nil, unavailable(err)
	}
	b.mu.Lock()
	undecided := b.undecided[topic] > 0
	b.mu.Unlock()
	if undecided {
		if err := client.HSet(ctx, b.sideKey(key), sideTurn, b.turn(topic)).Err(); err != nil {
			return nil, unavailable(fmt.Errorf("checkpoint of %s: %w", topic, err))
		}
	}
	checkpoint, err := client.HGet(ctx, b.sideKey(key), sideCheckpoint).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, unavailable(fmt.Errorf("checkpoint of %s: %w", topic, err))
	}
	return append([]byte{}, checkpoint...), nil
}

// mayBeIn reports whether a publish that failed so can have reached Redis.
func mayBeIn(err error) bool {
	var dial *net.OpError
	var answer redis.Error
	switch {
	case errors.As(err, &answer) && strings.Contains(answer.Error(), "@user_script:"):
		return true // the script failed on its way: a right is missing for a part of it
	case errors.As(err, new(notReached)), errors.As(err, &answer), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrClosed):
		return false
	case errors.As(err, &dial) && dial.Op == "dial":
		return false
	}
	return true
}
