// Package groups tests the group protocols on the real Apache Kafka: KIP-848, what happens where it is switched off, a group that
// moves over to it, topics that come and go, retry topics, and transactions.
package groups

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
