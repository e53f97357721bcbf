package disklog_test

import (
	"fmt"
	"testing"

	"weir/stream"
	"weir/stream/disklog"
)

func BenchmarkPublish(b *testing.B) {
	for _, sync := range []bool{false, true} {
		for _, publishers := range []int{1, 64} {
			b.Run(fmt.Sprintf("Sync=%v/publishers=%d", sync, publishers), func(b *testing.B) {
				broker := open(b, b.TempDir(), disklog.Options{Sync: sync})
				b.SetParallelism(publishers) // times GOMAXPROCS
				publish := func() {
					e := &stream.Event{ContentType: stream.JSON, Data: []byte(`{"temperature":21.2}`)}
					if err := broker.Publish(b.Context(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
						b.Error(err)
					}
				}
				if publishers == 1 {
					for b.Loop() {
						publish()
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						publish()
					}
				})
			})
		}
	}
}
