package redislog_test

import (
	"testing"

	"weir/stream"
	"weir/stream/redislog"
	"weir/stream/streamtest"
)

func TestConformance(t *testing.T) {
	s := startRedis(t)
	open := func(t *testing.T) stream.Broker {
		return openBroker(t, redislog.Options{URL: s.url(), MaxLen: 10000})
	}
	streamtest.TestBroker(t, open)
}
