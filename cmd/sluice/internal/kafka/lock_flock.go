//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks a file until it is closed, or returns errTaken.
func lockFile(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errTaken
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}
