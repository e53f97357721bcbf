//go:build !linux

package bench

import (
	"context"
	"errors"
)

func newPollDriver(context.Context, *swarm) (driver, error) {
	return nil, errors.New("epoll is Linux's alone")
}
