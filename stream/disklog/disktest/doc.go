// Package disktest stands between a process and its disk, for tests of what
// happens when the disk hangs, is full or fails, and of what it is asked for. It
// needs Linux. It does not simulate a disk: the calls reach the real one unless
// they are kept from it.
package disktest
