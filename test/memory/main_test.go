// Package memory holds the process of a consumer to the memory that docs/memory.md promises, on the real Apache Kafka.
package memory

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

// consumer is the built program in the folder of this name.
var consumer string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-memory-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	consumer = filepath.Join(dir, "consumer")
	if out, err := exec.Command("go", "build", "-o", consumer, "./consumer").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the consumer: %v\n%s", err, out)
		return 1
	}
	defer servers.Stop()
	return m.Run()
}
