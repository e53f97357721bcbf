// Package streamtest holds the conformance suites for plug-ins of package
// stream: [TestBroker] for a stream.Broker and [TestSource] for a
// stream.Source. A plug-in's own tests call them:
//
//	func TestConformance(t *testing.T) {
//		streamtest.TestBroker(t, func(t *testing.T) stream.Broker { return openMine(t) })
//	}
//
// [Listener] and [Buffer] serve tests of whatever is built on streams.
package streamtest

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// patience is how long the suites wait for what must come. It is long because
// a busy machine is no fault of a plug-in; nothing waits for it when all is
// well.
const patience = 30 * time.Second

// newTopic returns a name that no other test has used, since several may share
// one server.
func newTopic() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "conformance-" + hex.EncodeToString(b[:])
}
