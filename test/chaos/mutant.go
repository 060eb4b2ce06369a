package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed testdata/unfenced.patch
var patches embed.FS

const (
	unfencedPatch = "testdata/unfenced.patch"
	unfencedFile  = "sqlsink/work.go"
	thisPackage   = "github.com/sluice-go/sluice/test/chaos"
)

// buildUnfenced builds this program without the SQL sink's fence, into a folder.
func buildUnfenced(ctx context.Context, root, folder string) (program string, err error) {
	overlay, err := unfence(ctx, root, folder)
	if err != nil {
		return "", err
	}
	program = filepath.Join(filepath.Dir(overlay), "unfenced")
	return program, inTest(ctx, root, "go", "build", "-overlay", overlay, "-o", program, thisPackage)
}

// unfence takes the fence out of a copy of the SQL sink, and returns the file that has go build use it.
func unfence(ctx context.Context, root, folder string) (overlay string, err error) {
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	patch, err := patches.ReadFile(unfencedPatch)
	if err != nil {
		return "", err
	}
	original, mutant := filepath.Join(root, unfencedFile), filepath.Join(folder, "unfenced.go")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		return "", err
	}
	patchFile, overlay := filepath.Join(folder, "unfenced.patch"), filepath.Join(folder, "overlay.json")
	for name, content := range map[string][]byte{patchFile: patch, overlay: replace} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", err
		}
	}
	return overlay, inTest(ctx, root, "patch", "--batch", "--forward", "--fuzz=0", "-o", mutant, "-i", patchFile, original)
}

// inTest runs a command in the module of tests.
func inTest(ctx context.Context, root string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = filepath.Join(root, "test")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the program without a fence: %v: %w\n%s", argv, err, said)
	}
	return nil
}
