//go:build !unix

package limits

// OpenFiles returns how many files and sockets this process may have open, or 0
// where that is not known.
func OpenFiles() uint64 { return 0 }
