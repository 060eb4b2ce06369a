// Package producer tests the library's producer on the real Apache Kafka: processes killed in the middle of their work, brokers
// killed and restarted, and Java's producer beside it.
package producer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

// writer is the built program in the folder of this name.
var writer string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-producer-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	writer = filepath.Join(dir, "writer")
	build := exec.Command("go", "build", "-o", writer, "./writer")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the writer: %v\n%s", err, out)
		return 1
	}
	defer servers.Stop()
	return m.Run()
}
