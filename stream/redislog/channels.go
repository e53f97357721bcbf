package redislog

import (
	"context"
	"errors"
	"slices"
	"time"
)

// pingEvery is how often the subscription is tried when it is quiet.
const pingEvery = time.Second

// write tells Redis which channels are wanted, and sees to it that the
// connection is alive.
func (s *shard) write(ctx context.Context, sub *subscription) error {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	wanted := []string{s.pulse.channel()}
	var unwanted []string
	for {
		for _, change := range []struct {
			command string
			keys    []string
		}{{"SUNSUBSCRIBE", unwanted}, {"SSUBSCRIBE", wanted}} {
			// A key each: those of one command have to be in one slot.
			for chunk := range slices.Chunk(change.keys, 1024) {
				var commands []byte
				for _, key := range chunk {
					commands = appendCommand(commands, change.command, key)
				}
				if err := sub.write(commands); err != nil {
					return err
				}
			}
		}
		wanted, unwanted = nil, nil
		select {
		case <-s.writing:
			s.mu.Lock()
			for _, key := range s.unsubscribe {
				if s.topics[key] == nil {
					unwanted = append(unwanted, key)
				}
			}
			wanted = s.subscribe
			s.subscribe, s.unsubscribe = nil, nil
			s.mu.Unlock()
		case <-ping.C:
			if s.pulse.deaf() {
				return errDeaf
			}
			if err := sub.send("PING"); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errDeaf = errors.New("what is published does not come back")
