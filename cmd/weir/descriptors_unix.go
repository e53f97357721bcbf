//go:build unix

package main

import "syscall"

// descriptorLimit is how many descriptors this process may have open. The
// runtime has raised the soft limit to the hard one.
func descriptorLimit() (most uint64, known bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true
}
