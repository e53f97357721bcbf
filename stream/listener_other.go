//go:build !linux || 386 || s390x

package stream

import "net"

func unwatched(c *net.TCPConn) net.Conn { return c }
