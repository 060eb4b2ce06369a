package servers

import (
	"os"
	"path/filepath"
	"syscall"
)

const (
	dirPrefix = "sluice-test-server-"
	lockName  = "lock"
)

// dataDir is a server's temporary folder. It is locked as long as its test binary lives, so that a later one can tell
// which folders were left behind.
type dataDir struct {
	path string
	lock *os.File
}

// newDataDir makes a folder, after removing those of test binaries that are gone.
func newDataDir() (*dataDir, error) {
	sweep()
	path, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return nil, err
	}
	// The lock gets its name once it is held: sweep must not take a folder that is being made.
	unnamed := filepath.Join(path, lockName+".new")
	lock, err := lockFile(unnamed)
	if err == nil {
		err = os.Rename(unnamed, filepath.Join(path, lockName))
	}
	if err != nil {
		_ = os.RemoveAll(path)
		return nil, err
	}
	return &dataDir{path: path, lock: lock}, nil
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) remove() {
	_ = os.RemoveAll(d.path)
	_ = d.lock.Close()
}

func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		name := filepath.Join(dir, lockName)
		if _, err := os.Stat(name); err != nil {
			continue
		}
		if lock, err := lockFile(name); err == nil {
			(&dataDir{path: dir, lock: lock}).remove()
		}
	}
}

func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
