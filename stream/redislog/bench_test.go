package redislog_test

import (
	"testing"

	"weir/stream"
	"weir/stream/redislog"
)

func BenchmarkPublish(b *testing.B) {
	broker := openBroker(b, redislog.Options{URL: startRedis(b).url()})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e := &stream.Event{ContentType: stream.JSON, Data: []byte(`{"temperature":21.2}`)}
			if err := broker.Publish(b.Context(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
