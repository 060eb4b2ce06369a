package memory

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

const (
	budget = 64 << 20
	limit  = 4 * budget // docs/memory.md
)

func TestAProcessKeepsWithinItsMemory(t *testing.T) {
	k := servers.Kafka(t)
	for name, b := range map[string]backlog{
		"mixed-ratio-4":  {bytes: 2e9, least: 100, most: 1e6, random: 4},
		"mixed-ratio-20": {bytes: 2e9, least: 100, most: 1e6, random: 25},
		"100-bytes":      {bytes: 2e9, least: 100, most: 100, random: 4},
	} {
		t.Run(name, func(t *testing.T) {
			topic := "memory-" + name
			records, bytes, ratio := b.produce(t, k, topic)
			out, err := exec.CommandContext(t.Context(), consumer, "-brokers", k.Brokers, "-topic", topic,
				"-budget", fmt.Sprint(budget), "-records", fmt.Sprint(records)).CombinedOutput()
			var handled, retried, got, peak, took int64
			if _, serr := fmt.Sscan(string(out), &handled, &retried, &got, &peak, &took); err != nil || serr != nil {
				t.Fatalf("%v, %v: %s", err, serr, out)
			}
			t.Logf("%d records, %d MB at ratio %.1f: peak %d MiB, %d retried, %d ms", records, bytes/1e6, ratio, peak>>20, retried, took)
			if handled != records || got != bytes || retried < records/25 {
				t.Errorf("handled %d records of %d bytes, %d again; want %d of %d", handled, got, retried, records, bytes)
			}
			if peak > limit {
				t.Errorf("the process had %d MiB, want at most %d", peak>>20, limit>>20)
			}
		})
	}
}
