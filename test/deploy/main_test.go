package deploy

import (
	"os"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	defer servers.Stop()
	return m.Run()
}
