//go:build !unix

package source

import "os"

// openRegular opens a file for reading.
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
	return os.Open(path)
}

// inode is not told here.
func inode(os.FileInfo) uint64 { return 0 }

// A fileReader reads what there is.
type fileReader struct{ *os.File }
