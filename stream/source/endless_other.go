//go:build unix && !linux

package source

import "os"

func endless(*os.File) bool { return false }
