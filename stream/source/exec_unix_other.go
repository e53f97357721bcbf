//go:build unix && !linux

package source

import (
	"os"
	"syscall"
)

// dieWithParent does nothing: there is no such signal here.
func dieWithParent(*syscall.SysProcAttr) {}

func pending(*os.File) int { return maxLeft }
