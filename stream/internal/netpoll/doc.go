// Package netpoll has the system calls of the lean transport: to send without
// waiting, to notice that a client has gone, to ask whether a client
// acknowledges, and to accept connections that do all this cheaply.
//
// It works on Linux. Elsewhere NewPoller returns [errors.ErrUnsupported], nothing is
// known of peers, and a listener is passed on as it is; callers then use package
// net alone.
//
// The package knows nothing of streams or HTTP.
package netpoll
