package redislog_test

import "syscall"

// orphanless ends a server whose test was killed.
var orphanless = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
