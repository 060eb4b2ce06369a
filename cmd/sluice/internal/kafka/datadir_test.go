package kafka

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The directory belongs to the first one that opens it, until that one closes it.
func TestDataDirIsLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b")
	first, err := OpenDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenDataDir(path)
	if want := fmt.Sprintf("data directory %s: in use by process %d; ", path, os.Getpid()); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("it says %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OpenDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// A child that was started meanwhile has the lock's file, too.
func TestDataDirIsFreeWhenItIsClosed(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	first, err := OpenDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "sleep", "60")
	child.ExtraFiles = []*os.File{first.lock}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OpenDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// What is in the lock's file says nothing about the lock: a process that died left its number behind.
func TestDataDirOfADeadProcess(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "lock"), []byte("1\n"), 0o600); err != nil { // a process that lives
		t.Fatal(err)
	}
	dir, err := OpenDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDataDirThatIsNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDataDir(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("it says %v", err)
	}
}

// An authority that is broken is told, and not replaced: clients trust the file.
func TestAuthorityThatIsBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err == nil || !strings.Contains(err.Error(), "delete the directory to have another one made") {
		t.Errorf("it says %v", err)
	}
}
