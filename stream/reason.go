package stream

// A CloseReason says why a connection ended: one of a small set, fit for a
// metric's attribute. These have no constant, since no program gives them:
//
//	reset     the client's connection was reset: it crashed, or was cut off
//	vanished  the client acknowledged nothing any more
//	error     a write failed otherwise
//	drain     the server is shutting down
//	lifetime  the connection reached its greatest age, or the deadline of the request's context
type CloseReason string

// The reasons that programs give or look for.
const (
	CloseClient   CloseReason = "client"   // the request's context was cancelled: the client went away, unless a middleware has cancelled it
	closeReset    CloseReason = "reset"    // the client's connection was reset: it crashed, or was cut off
	CloseSlow     CloseReason = "slow"     // the client took nothing for the write timeout
	closeVanished CloseReason = "vanished" // the client acknowledged nothing any more
	closeError    CloseReason = "error"    // a write failed otherwise
	CloseEnded    CloseReason = "ended"    // the topic has ended
	CloseExpired  CloseReason = "expired"  // the right to read is over
	CloseRevoked  CloseReason = "revoked"  // somebody has ended the right to read
	closeDrain    CloseReason = "drain"    // the server is shutting down
	closeLifetime CloseReason = "lifetime" // the connection reached its greatest age, or the deadline of the request's context
	ClosePanic    CloseReason = "panic"    // a fault in the server
)

// Fault reports whether the reason is one that somebody has to look into: the
// stream did not end as client or server wished. A client that goes with something left
// unread resets its connection, too; nobody can tell that from a crash.
func (r CloseReason) Fault() bool {
	switch r {
	case closeReset, CloseSlow, closeVanished, closeError, ClosePanic:
		return true
	}
	return false
}

// cut reports whether a stream that ends for this reason is cut off, without
// another word to a client that is not there, or cannot be spoken to. All others
// end orderly.
func (r CloseReason) cut() bool {
	switch r {
	case CloseClient, closeReset, CloseSlow, closeVanished, closeError, ClosePanic:
		return true
	}
	return false
}

// CloseReasons are all of them.
var CloseReasons = []CloseReason{
	CloseClient, closeReset, CloseSlow, closeVanished, closeError, CloseEnded,
	CloseExpired, CloseRevoked, closeDrain, closeLifetime, ClosePanic,
}
