//go:build !linux

package netpoll

import (
	"errors"
	"syscall"
)

// A Poller does not exist here.
type Poller struct{}

// NewPoller returns errors.ErrUnsupported.
func NewPoller() (*Poller, error) { return nil, errors.ErrUnsupported }

// Add is never called.
func (*Poller) Add(int, uint64) error { return errors.ErrUnsupported }

// Run is never called.
func (*Poller) Run(func(uint64)) {}

// Close is never called.
func (*Poller) Close() error { return nil }

// Send is never called: no connection is taken over.
func Send(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// LimitUnsent does nothing.
func LimitUnsent(int, int) {}

// Shut does nothing.
func Shut(syscall.RawConn) {}
