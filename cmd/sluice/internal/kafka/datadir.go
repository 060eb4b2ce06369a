package kafka

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DataDir is a directory that the embedded broker keeps its data in. It belongs to one process at a time.
type DataDir struct {
	path string
	lock *os.File
}

// errTaken is what a second process meets.
var errTaken = errors.New("the lock is taken")

// OpenDataDir makes the directory where it is not there, and locks it. The lock is the operating system's: it ends with the
// process, however that ends.
func OpenDataDir(path string) (*DataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &DataDir{path: path, lock: lock}
	if err := d.take(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	// kfake's files can be read by everybody, among them one with passwords: hence a directory of their own.
	if err := os.MkdirAll(d.records(), 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory: %w", err), d.Close())
	}
	return d, nil
}

func (d *DataDir) take() error {
	if err := lockFile(d.lock); err != nil {
		if !errors.Is(err, errTaken) {
			return fmt.Errorf("data directory %s: lock it: %w", d.path, err)
		}
		holder := "another process"
		if text, err := io.ReadAll(d.lock); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				holder = fmt.Sprintf("process %d", pid)
			}
		}
		return fmt.Errorf("data directory %s: in use by %s; stop that one first, or give another directory", d.path, holder)
	}
	err := d.lock.Truncate(0)
	if err == nil {
		_, err = d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, err)
	}
	return nil
}

// Close gives the directory free. The lock's file stays: who waits for it has it open.
func (d *DataDir) Close() error {
	return errors.Join(d.lock.Truncate(0), unlockFile(d.lock), d.lock.Close())
}

func (d *DataDir) records() string { return filepath.Join(d.path, "records") }

// Authority is the directory's own certificate authority, made at its first use.
func (d *DataDir) Authority() (*Authority, error) { return OpenAuthority(filepath.Join(d.path, "tls")) }

// forgetLogins makes the logins of this start the only ones. kfake keeps those of the last one, and prefers them.
func (d *DataDir) forgetLogins() error {
	err := os.Remove(filepath.Join(d.records(), "sasl.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
