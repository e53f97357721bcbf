//go:build unix

package source

import (
	"fmt"
	"os"
	"syscall"
)

// openRegular opens a file for reading, and does not wait for anybody. Before
// it opens, it looks: to open a device may do something to it.
func openRegular(path string, follow bool) (*os.File, error) {
	look := os.Lstat
	if follow {
		look = os.Stat
	}
	info, err := look(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notRegular(path, info.Mode())
	}
	file, err := openNow(path, follow)
	if err != nil {
		return nil, err
	}
	if endless(file) {
		file.Close()
		return nil, fmt.Errorf("%s is made by the kernel as it is read, and has no end to follow: run a program that prints it, as in exec:cat %s", path, path)
	}
	return file, nil
}

// openNow opens whatever it is: it may have been swapped since it was looked at.
func openNow(path string, follow bool) (*os.File, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if !follow {
		flags |= syscall.O_NOFOLLOW
	}
	return os.OpenFile(path, flags, 0)
}

// inode is the number of a file in its file system.
func inode(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}

// A fileReader reads what there is, and does not wait for more.
type fileReader struct{ file *os.File }

func (r fileReader) Read(b []byte) (int, error) { return readNow(r.file, b) }
