package netpoll

import "time"

// A PeerState is what the system knows of the other end of a TCP connection.
type PeerState struct {
	// Outstanding says that something waits for an acknowledgement: data, or a
	// probe of a closed window.
	Outstanding bool
	// Quiet is how long ago the last acknowledgement came.
	Quiet time.Duration
	// Acked is how many bytes have been acknowledged, ever.
	Acked uint64
	// Queued is how many bytes wait in the socket to be sent.
	Queued uint32
	// Reset says that a reset has ended the connection: the peer has crashed or was
	// cut off, or has closed it with something left unread.
	Reset bool
}
