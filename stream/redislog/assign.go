package redislog

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// allShards returns the shards that there are.
func (b *Broker) allShards() (shards []*shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shards {
		shards = append(shards, s)
	}
	return shards
}

// shardOf returns the shard of a client's server, and begins it where there is
// none.
func (b *Broker) shardOf(ctx context.Context, client *redis.Client) (*shard, error) {
	b.mu.Lock()
	s := b.shards[client]
	b.mu.Unlock()
	if s != nil {
		return s, nil
	}
	key, err := b.pulseKey(ctx, client)
	if err != nil {
		return nil, unavailable(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, unavailable(errClosed)
	case b.shards[client] == nil:
		b.shards[client] = newShard(b, client, key)
	}
	return b.shards[client], nil
}

// pulseKey returns a key for the pulse of this process that a server has.
func (b *Broker) pulseKey(ctx context.Context, client *redis.Client) (string, error) {
	for n := 0; ; n++ {
		key := b.opts.Prefix + "pulse:" + b.instance
		if n > 0 {
			key += ":" + strconv.Itoa(n)
		}
		at, err := b.servers.forKey(ctx, key)
		if err != nil || at == client || n > 10000 {
			return key, err
		}
	}
}

// assign gives a following to the shard that has its topic.
func (b *Broker) assign(f *following) {
	b.mu.Lock()
	s := b.shards[b.servers.single]
	b.mu.Unlock()
	if s == nil {
		f.failed(errClosed)
		return
	}
	s.add(f)
}

// release takes a following from its shard.
func (b *Broker) release(f *following) {
	for _, s := range b.allShards() {
		s.remove(f)
	}
}
