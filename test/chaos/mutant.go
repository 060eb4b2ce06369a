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
	unfencedFile  = "sqlsink/statement.go"
	thisPackage   = "github.com/sluice-go/sluice/test/chaos"
)

// buildUnfenced builds this program without the SQL sink's fence, into a folder.
func buildUnfenced(ctx context.Context, root, folder string) (program string, err error) {
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	patch, err := patches.ReadFile(unfencedPatch)
	if err != nil {
		return "", err
	}
	patchFile, mutant := filepath.Join(folder, "unfenced.patch"), filepath.Join(folder, "unfenced.go")
	overlayFile, program := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "unfenced")
	original := filepath.Join(root, unfencedFile)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{patchFile: patch, overlayFile: overlay} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", err
		}
	}
	for _, argv := range [][]string{
		{"patch", "--batch", "--forward", "--fuzz=0", "-o", mutant, "-i", patchFile, original},
		{"go", "build", "-overlay", overlayFile, "-o", program, thisPackage},
	} {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = filepath.Join(root, "test")
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("the program without a fence: %v: %w\n%s", argv, err, said)
		}
	}
	return program, nil
}
