//go:build !linux

package process

import "syscall"

// dieWithParent has no counterpart elsewhere: a test binary that is killed leaves its servers running there.
func dieWithParent(*syscall.SysProcAttr) {}

// children are not looked for elsewhere: there a server's go on while it is frozen.
func children(int) []int { return nil }
