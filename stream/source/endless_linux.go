package source

import (
	"os"
	"syscall"
)

// endless reports whether a file is of the proc file system or the like.
func endless(file *os.File) bool {
	var fs syscall.Statfs_t
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	if cerr := raw.Control(func(fd uintptr) { err = syscall.Fstatfs(int(fd), &fs) }); cerr != nil || err != nil {
		return false
	}
	const proc, sysfs, debugfs, tracefs, cgroup2 = 0x9fa0, 0x62656572, 0x64626720, 0x74726163, 0x63677270
	switch uint32(fs.Type) {
	case proc, sysfs, debugfs, tracefs, cgroup2:
		return true
	}
	return false
}
