package redislog

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"

	"weir/stream"
	"weir/stream/internal/record"
)

// The fields of an entry: of an event the first three, of the end of a topic
// the version and the reason.
const (
	fieldVersion    = "v"
	fieldAttributes = "a"
	fieldData       = "d"
	fieldEnd        = "e"
)

// The keys of a topic. The name of the side key has the name of the stream in
// braces, so that Redis Cluster keeps both in one slot.
func (b *Broker) key(topic string) string { return b.opts.Prefix + "topic:" + topic }
func (b *Broker) sideKey(topic string) string {
	return b.opts.Prefix + "side:{" + b.key(topic) + "}"
}

// The fields of the side key.
const (
	sideEnded      = "ended"
	sideCheckpoint = "checkpoint"
)

// publishScript stores a publication, all or none. KEYS are the stream and the
// side key. ARGV are the version, how many entries to keep, the reason of the
// end (empty: none), whether there is a checkpoint, the checkpoint, and then
// the attributes and the data of each event. It returns the events' IDs.
var publishScript = redis.NewScript(`#!lua
local stream, side = KEYS[1], KEYS[2]
local version, keep, reason = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HEXISTS', side, 'ended') == 1 and redis.call('EXISTS', stream) == 1 then
	return redis.error_reply('ENDED the topic has ended')
end
local ids = {}
for i = 6, #ARGV, 2 do
	ids[#ids + 1] = redis.call('XADD', stream, 'MAXLEN', '~', keep, '*', 'v', version, 'a', ARGV[i], 'd', ARGV[i + 1])
end
if ARGV[4] == '1' then
	redis.call('HSET', side, 'checkpoint', ARGV[5])
end
if reason ~= '' then
	redis.call('XADD', stream, '*', 'v', version, 'e', reason)
	redis.call('HSET', side, 'ended', '1')
end
return ids
`)

// Publish implements [stream.Broker]. It takes at most Options.Timeout.
func (b *Broker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	if len(p.Events) == 0 && p.End == "" && p.Checkpoint == nil {
		return nil
	}
	args := []any{record.Version, b.opts.MaxLen, p.End, p.Checkpoint != nil, p.Checkpoint}
	for _, e := range p.Events {
		attrs, err := record.Attributes(e)
		if err != nil {
			return err
		}
		args = append(args, attrs, e.Data)
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	answer, err := publishScript.Run(ctx, b.client, []string{b.key(topic), b.sideKey(topic)}, args...).StringSlice()
	switch {
	case refused(err, "ENDED"):
		return stream.ErrClosed
	case err != nil && mayBeIn(err):
		return unavailable(fmt.Errorf("%w: %w", ErrUnconfirmed, err))
	case err != nil:
		return unavailable(err)
	case len(answer) != len(p.Events):
		return unavailable(fmt.Errorf("%w: %d IDs for %d events", ErrUnconfirmed, len(answer), len(p.Events)))
	}
	ids := make([]stream.ID, len(answer))
	for i, text := range answer {
		if ids[i], err = stream.ParseID(text); err != nil {
			return unavailable(fmt.Errorf("%w: the ID of an event: %w", ErrUnconfirmed, err))
		}
	}
	for i, e := range p.Events {
		e.ID = ids[i]
		b.acknowledged(topic, e.ID)
	}
	return nil
}

// Checkpoint implements [stream.Checkpointer].
func (b *Broker) Checkpoint(ctx context.Context, topic string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	checkpoint, err := b.client.HGet(ctx, b.sideKey(topic), sideCheckpoint).Bytes()
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
	case errors.As(err, &answer), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrClosed):
		return false
	case errors.As(err, &dial) && dial.Op == "dial":
		return false
	}
	return true
}
