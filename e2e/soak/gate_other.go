//go:build unix && !linux

package main

import (
	"errors"
	"os/exec"
)

const behindGate = "-behind-gate"

// newGate returns none: it needs Linux.
func newGate() (*gate, error) { return nil, nil }

func (g *gate) before(*exec.Cmd) (begun func(), err error) { return nil, errors.ErrUnsupported }

func passGate([]string) error { return errors.ErrUnsupported }
