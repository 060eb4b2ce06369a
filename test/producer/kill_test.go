package producer

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

// killed runs a writer, kills it after some lines, and returns what it had told by then.
func killed(t *testing.T, k *servers.KafkaServer, topic, prefix string, after int, early bool) ledger {
	t.Helper()
	cmd := exec.Command(writer, "-brokers", k.Brokers, "-topic", topic, "-prefix", prefix, "-early="+strconv.FormatBool(early))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := ledger{}
	lines := bufio.NewReader(out)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // what is left of the last line was not told
		}
		key, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if number != strconv.Itoa(told[key]) {
			t.Fatalf("%s: %s was told, want %d", key, number, told[key])
		}
		told[key]++
		if n == after {
			_ = cmd.Process.Kill() // it may have ended by itself, which the count below shows
		}
	}
	_ = cmd.Wait()
	total := 0
	for _, n := range told {
		total += n
	}
	if total < after {
		t.Fatalf("the writer ended by itself after %d lines", total)
	}
	t.Logf("killed after %d acknowledgements", total)
	return told
}

// Whatever a process was told before SIGKILL is in the log, in order within a key and once.
func TestWhatWasAcknowledgedBeforeASIGKILLIsInTheLog(t *testing.T) {
	k := servers.Kafka(t)
	topic := newTopic(t, k, 6, nil)
	all := ledger{}
	for round := range 12 {
		maps.Copy(all, killed(t, k, topic, fmt.Sprintf("r%d-", round), 1+rand.IntN(20_000), false))
	}
	all.check(t, readAll(t, k, topic))
}

// The same check finds out a writer that tells before the broker has answered.
func TestTheCheckSeesAcknowledgementsThatCameTooSoon(t *testing.T) {
	k := servers.Kafka(t)
	topic := newTopic(t, k, 6, nil)
	for round := range 20 {
		told := killed(t, k, topic, fmt.Sprintf("r%d-", round), 1+rand.IntN(20_000), true)
		if c := told.complaints(readAll(t, k, topic)); len(c) > 0 {
			t.Logf("seen: %s", c[0])
			return
		}
	}
	t.Error("20 writers that tell too soon were killed, and nothing is missing")
}
