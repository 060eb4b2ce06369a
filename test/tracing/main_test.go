// Package tracing tests the library's spans over processes: a producer, a consumer that writes to a database and to a second topic, and a
// consumer of that, on the real Apache Kafka, beside the OpenTelemetry Collector's own receiver.
package tracing

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

// member is the built program in the folder of this name, and program is sluice.
var member, program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-tracing-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	member, program = filepath.Join(dir, "member"), filepath.Join(dir, "sluice")
	build := exec.Command("go", "build", "-o", dir, "./member", "github.com/sluice-go/sluice/cmd/sluice")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	defer servers.Stop()
	return m.Run()
}
