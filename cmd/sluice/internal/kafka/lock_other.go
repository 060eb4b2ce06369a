//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package kafka

import (
	"errors"
	"os"
)

// lockFile refuses: two brokers on one directory would destroy its data.
func lockFile(*os.File) error { return errors.ErrUnsupported }

func unlockFile(*os.File) error { return errors.ErrUnsupported }
