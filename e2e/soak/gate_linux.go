package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"weir/stream/disklog/disktest"
)

// behindGate is the first argument by which the soak is asked to become another
// program whose calls to the disk pass a gate.
const behindGate = "-behind-gate"

func newGate() (*gate, error) { return &gate{changed: make(chan struct{})}, nil }

// before has what the command is to run pass the gate. begun is to be called
// when the command has been started, or could not be.
func (g *gate) before(cmd *exec.Cmd) (begun func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the gate to the disk: %w", err)
	}
	ours, theirs := ends[0], os.NewFile(uintptr(ends[1]), "gate")
	cmd.Args = append([]string{self, behindGate, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	cmd.ExtraFiles = []*os.File{theirs}
	go func() {
		listener, err := receiveFile(ours)
		_ = syscall.Close(ours)
		if err == nil {
			err = disktest.Serve(listener, func(c disktest.Call) error { return g.decide(c.Name) })
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "the gate to the disk:", err)
		}
	}()
	return func() { _ = theirs.Close() }, nil
}

func receiveFile(conn int) (fd int, err error) {
	oob := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := syscall.Recvmsg(conn, make([]byte, 1), oob, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return -1, err
	}
	if len(messages) == 0 {
		return -1, errors.New("the process has ended before it began")
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// passGate makes this process another program, behind the gate whose other end
// is descriptor 3.
func passGate(args []string) error {
	listener, err := disktest.Listen()
	if err != nil {
		return err
	}
	if err := syscall.Sendmsg(3, []byte{0}, syscall.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("handing over the gate: %w", err)
	}
	_ = syscall.Close(listener)
	_ = syscall.Close(3)
	return syscall.Exec(args[0], args, os.Environ())
}
