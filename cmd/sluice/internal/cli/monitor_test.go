package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
	"github.com/sluice-go/sluice/cmd/sluice/internal/view"
)

// lagging is a broker with ten records, of which the group billing has handled four, and done all.
func lagging(t *testing.T) (address string) {
	t.Helper()
	_, address = cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	for range 10 {
		send(t, address, &kgo.Record{Topic: "orders", Value: []byte("x")})
	}
	for group, at := range map[string]int64{"billing": 4, "done": 10} {
		withAdmin(t, address, func(ctx context.Context, admin *kadm.Client) error {
			offsets := make(kadm.Offsets)
			offsets.AddOffset("orders", 0, at, -1)
			return admin.CommitAllOffsets(ctx, group, offsets)
		})
	}
	return address
}

func TestMonitorOnce(t *testing.T) {
	t.Parallel()
	address := lagging(t)
	r := execute(t, ExitDone, "monitor", "-b", address, "--once", "-o", "json", "--partitions")
	var s view.Snapshot
	if err := json.Unmarshal([]byte(r.stdout.String()), &s); err != nil {
		t.Fatalf("%v:\n%s", err, r.stdout)
	}
	if len(s.Groups) != 2 || s.Groups[0].Lag != 6 || s.Groups[0].Status != "LAGS" || s.Groups[1].Status != "OK" {
		t.Fatalf("%+v", s)
	}
	if l := s.Groups[0].TimeLag; l == nil || l.AtLeast || l.Within > 1 || l.Seconds <= 0 || l.Seconds > patience.Seconds() {
		t.Errorf("the time lag is %+v", l)
	}
	if r.stderr.String() != "" {
		t.Errorf("on stderr:\n%s", r.stderr)
	}
	text := execute(t, ExitDone, "monitor", "-b", address, "--once", "--group", "b.ll").stdout.String()
	if lines := strings.Split(text, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "GROUP") || !strings.Contains(lines[1], "billing") {
		t.Errorf("\n%s", text)
	}
	execute(t, ExitDone, "monitor", "-b", address, "--once", "--fail-if-lag-above", "6")
	failed := execute(t, ExitFailed, "monitor", "-b", address, "--once", "--fail-if-lag-above", "5")
	if !strings.Contains(failed.stderr.String(), "group billing, topic orders: the lag is 6, more than 5") ||
		!strings.Contains(failed.stdout.String(), "billing") {
		t.Errorf("%s%s", failed.stdout, failed.stderr)
	}
	execute(t, ExitFailed, "monitor", "-b", address, "--once", "--fail-if-lag-above", "1ms", "--group", "^billing$")
	execute(t, ExitDone, "monitor", "-b", address, "--once", "--fail-if-lag-above", "1h")
}

// What nobody has read of a partition that was added while the group was down is no lag of 0.
func TestMonitorOnceOfAPartitionThatWasAdded(t *testing.T) {
	t.Parallel()
	address := lagging(t)
	execute(t, ExitDone, "monitor", "-b", address, "--once", "--group", "^done$", "--fail-if-lag-above", "0")
	withAdmin(t, address, func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.CreatePartitions(ctx, 1, "orders")
		return err
	})
	execute(t, ExitDone, "monitor", "-b", address, "--once", "--group", "^done$", "--fail-if-lag-above", "0")
	sendManual(t, address, &kgo.Record{Topic: "orders", Partition: 1, Value: []byte("x")})
	r := execute(t, ExitFailed, "monitor", "-b", address, "--once", "--group", "^done$", "--fail-if-lag-above", "0")
	if !strings.Contains(r.stderr.String(), "1 of its partitions has records and no commit") || !strings.Contains(r.stdout.String(), "NO COMMIT") {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
}

// A name that nothing has is most likely misspelt: a script must not take what it does not see for good.
func TestMonitorOnceOfNothing(t *testing.T) {
	t.Parallel()
	address := lagging(t)
	for _, output := range []string{"text", "json", "yaml"} {
		for filter, want := range map[string]string{
			"--group=^biling$":                 `there is no group that matches --group "^biling$"; 2 have another name`,
			"--topic=^order$":                  `no group reads a topic that matches --topic "^order$"; there are 2 groups`,
			"--group=^billing$ --topic=^order": "",
			"--group=^billing$ --topic=^x":     `of the groups that match --group "^billing$" (1), none reads a topic that matches --topic "^x"`,
		} {
			status := ExitFailed
			if want == "" {
				status = ExitDone
			}
			r := execute(t, status, append([]string{"monitor", "-b", address, "--once", "-o", output}, strings.Fields(filter)...)...)
			if got := r.stderr.String(); !strings.Contains(got, want) || want == "" && got != "" || strings.Count(got, "\n") > 1 {
				t.Errorf("%s %s:\n%s", output, filter, got)
			}
		}
	}
	_, empty := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	if r := execute(t, ExitDone, "monitor", "-b", empty, "--once", "-o", "json"); !strings.Contains(r.stderr.String(), "the cluster has no groups") {
		t.Errorf("%s", r.stderr)
	}
}

func TestMonitorOnceWithoutABroker(t *testing.T) {
	t.Parallel()
	address := closedPort(t)
	r := execute(t, ExitFailed, "monitor", "-b", address, "--once", "-o", "json")
	if r.stdout.String() != "" || !strings.Contains(r.stderr.String(), address) {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
}

// ask asks a listener, and returns what it says.
func ask(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// listens waits until a command listens, and returns where.
func listens(t *testing.T, r *run) string {
	t.Helper()
	address, _, _ := strings.Cut(r.stderr.waitFor(t, "msg=listening address="), " ")
	return address
}

func TestMonitorServes(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "monitor", "-b", lagging(t), "--listen", "0", "--interval", "1s", "--by", "partition", "--compat", "kafka_exporter")
	address := listens(t, r)
	r.stderr.waitFor(t, "the first look is done")
	for path, want := range map[string]string{
		"/livez":         `{"live":true}`,
		"/readyz":        `"ready":true`,
		"/snapshot.json": `"group":"billing"`,
		"/v3/kafka":      `"message":"cluster list returned"`,
		"/metrics":       `sluice_monitor_partition_lag_records{group="billing",partition="0",topic="orders"} 6`,
	} {
		if status, body := ask(t, address, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, body := ask(t, address, "/metrics"); !strings.Contains(body, `kafka_consumergroup_lag{consumergroup="billing",partition="0",topic="orders"} 6`) ||
		!strings.Contains(body, "\ngo_goroutines ") {
		t.Errorf("%s", body)
	}
	r.stop()
	r.ends(t, ExitDone)
	if r.stdout.String() != "" {
		t.Errorf("on stdout: %s", r.stdout)
	}
}

// For programs that read logs, each line is an object; who asks for another form is told which there are.
func TestLogFormat(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "monitor", "-b", lagging(t), "--listen", "0", "--interval", "1s", "--log-format", "json")
	r.stderr.waitFor(t, "the first look is done")
	r.stop()
	r.ends(t, ExitDone)
	for line := range strings.Lines(r.stderr.String()) {
		var l struct {
			Time  time.Time `json:"time"`
			Level string    `json:"level"`
			Msg   string    `json:"msg"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Time.IsZero() || l.Level == "" || l.Msg == "" {
			t.Errorf("%v: %s", err, line)
		}
	}
	for _, command := range [][]string{{"monitor"}, {"run", "x.yaml"}} {
		if got := execute(t, ExitUsage, append(command, "--log-format", "xml")...).stderr.String(); !strings.Contains(got, "give text or json") {
			t.Errorf("%s", got)
		}
	}
}

// A monitor whose broker is down at start says so, and goes on trying.
func TestMonitorStartsBlind(t *testing.T) {
	t.Parallel()
	broker := closedPort(t)
	r := start(t, nil, "monitor", "-b", broker, "--listen", "0", "--interval", "1s")
	address := listens(t, r)
	r.stderr.waitFor(t, "the monitor cannot see all")
	status, body := ask(t, address, "/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, broker) {
		t.Errorf("%d %s, without %s", status, body, broker)
	}
	if status, _ := ask(t, address, "/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	if _, body := ask(t, address, "/metrics"); !strings.Contains(body, `sluice_monitor_problem{kind="metadata"} 1`) {
		t.Errorf("%s", body)
	}
	again := start(t, nil, "broker", "--listen", broker, "--topic", "orders:1")
	deadline := time.Now().Add(patience)
	for status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatalf("it stays blind: %d %s", status, body)
		}
		status, body = ask(t, address, "/readyz")
	}
	for _, one := range []*run{r, again} {
		one.stop()
		one.ends(t, ExitDone)
	}
}
