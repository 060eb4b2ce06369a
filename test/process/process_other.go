//go:build !linux

package process

import "syscall"

// dieWithParent has no counterpart elsewhere: a test binary that is killed leaves its servers running there.
func dieWithParent(*syscall.SysProcAttr) {}
