//go:build !linux

package stream

import "errors"

// Elsewhere there is no poller, and so no connection is taken over.
type poller struct{}

func newPoller() (*poller, error)       { return nil, errors.ErrUnsupported }
func (*poller) add(int, uint64) error   { return errors.ErrUnsupported }
func (*poller) remove(int)              {}
func (*poller) run(func(uint64))        {}
func (*poller) close()                  {}
func writeNow(int, []byte) (int, error) { return 0, errors.ErrUnsupported }
