package redislog

import (
	"context"
	"slices"
	"strconv"
	"time"

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

// assign gives a following to the shard that has its topic. It does not wait
// for Redis.
func (b *Broker) assign(f *following) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		f.failed(errClosed)
		return
	}
	if b.servers.cluster == nil {
		s := b.shards[b.servers.single]
		b.mu.Unlock()
		s.add(f)
		return
	}
	b.homeless = append(b.homeless, f)
	b.mu.Unlock()
	tell(b.sorting)
}

// sort gives followings to the shards of a cluster until ctx is done. Slots move
// from server to server, so a shard gives its followings back when it fails.
func (b *Broker) sort(ctx context.Context) {
	for failures := 0; ; {
		select {
		case <-b.sorting:
		case <-ctx.Done():
			return
		}
		b.mu.Lock()
		batch := b.homeless
		b.homeless = nil
		b.mu.Unlock()
		for len(batch) > 0 && ctx.Err() == nil {
			left, err := b.place(ctx, batch)
			if err == nil {
				failures = 0
				break
			}
			for _, f := range left {
				f.failed(err)
			}
			failures++
			select {
			case <-time.After(backoff(failures)):
			case <-ctx.Done():
			}
			batch = left
		}
	}
}

// place gives followings to their shards. It returns those that it could not
// place.
func (b *Broker) place(ctx context.Context, batch []*following) (left []*following, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	for i, f := range batch {
		client, err := b.servers.forKey(ctx, f.key)
		if err != nil {
			return batch[i:], err
		}
		s, err := b.shardOf(ctx, client)
		if err != nil {
			return batch[i:], err
		}
		s.add(f)
		f.mu.Lock()
		stopped := f.stopped
		f.mu.Unlock()
		if stopped { // and release may have come before
			s.remove(f)
		}
	}
	return nil, nil
}

// disband takes the followings of a shard that has failed, and finds out which
// servers there are now. It reports whether the shard's is one of them.
func (b *Broker) disband(ctx context.Context, s *shard) (stays bool) {
	look, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	clients, err := b.servers.all(look)
	stays = err != nil || slices.Contains(clients, s.client)
	for _, client := range clients {
		if _, err := b.shardOf(look, client); err != nil {
			b.logger.DebugContext(ctx, "a server of the cluster is not followed yet", "error", err)
		}
	}
	key, err := b.pulseKey(look, s.client)
	if err == nil {
		s.pulse.rekey(key)
	}
	b.mu.Lock()
	if !stays {
		delete(b.shards, s.client)
	}
	b.homeless = append(b.homeless, s.clear()...)
	b.mu.Unlock()
	tell(b.sorting)
	return stays
}

// release takes a following from its shard.
func (b *Broker) release(f *following) {
	for _, s := range b.allShards() {
		s.remove(f)
	}
}
