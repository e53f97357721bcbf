package streamtest_test

import (
	"testing"

	"weir/stream"
	"weir/stream/streamtest"
)

func TestMemoryBroker(t *testing.T) {
	streamtest.TestBroker(t, func(t *testing.T) stream.Broker { return new(stream.MemoryBroker) })
}
