package streamtest_test

import (
	"testing"

	"weir/stream"
	"weir/stream/streamtest"
)

func TestMemoryBroker(t *testing.T) {
	open := func(*testing.T) stream.Broker { return new(streamtest.MemoryBroker) }
	streamtest.TestBroker(t, open)
}
