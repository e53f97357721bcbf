//go:build !linux

package redislog_test

import "syscall"

var orphanless *syscall.SysProcAttr
