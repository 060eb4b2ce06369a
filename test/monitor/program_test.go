package monitor

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

// program is `sluice`, built for the tests of this package.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-monitor-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "sluice")
	build := exec.Command("go", "build", "-o", file, "github.com/sluice-go/sluice/cmd/sluice")
	if out, err := build.CombinedOutput(); err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return file, nil
})

func (k *kit) command(args ...string) *exec.Cmd {
	k.Helper()
	file, err := program()
	if err != nil {
		k.Fatal(err)
	}
	return exec.Command(file, append([]string{"monitor", "-b", strings.Join(k.brokers, ",")}, args...)...)
}

// serve runs `sluice monitor` until the test ends.
func (k *kit) serve(args ...string) (address string, process *os.Process) {
	k.Helper()
	address, err := servers.FreeAddress(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	c := k.command(append(args, "--listen", address, "--interval", "1s")...)
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			k.Error(err)
		}
		if err := c.Wait(); err != nil {
			k.Errorf("the monitor ended with %v; it said:\n%s", err, &log)
		}
		if k.Failed() {
			k.Logf("the monitor said:\n%s", &log)
		}
	})
	return address, c.Process
}

// get asks for a page that is compressed, as Prometheus does.
func (k *kit) get(url string) (status int, body []byte) {
	request, err := http.NewRequestWithContext(k.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		k.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil // it does not listen yet
	}
	defer func() { _ = response.Body.Close() }()
	reader := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		if reader, err = gzip.NewReader(response.Body); err != nil {
			k.Fatal(err)
		}
	}
	if body, err = io.ReadAll(reader); err != nil {
		k.Fatal(err)
	}
	return response.StatusCode, body
}

func (k *kit) ready(address string) {
	k.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		status, body := k.get("http://" + address + "/readyz")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			k.Fatalf("it is not ready: %d %s", status, body)
		}
		<-tick.C
	}
}

// several kinds of groups: behind lags by 60 on each of two partitions, done by nothing, partial has a commit of one partition only, and live
// has a member.
func (k *kit) several() {
	k.Helper()
	k.create("orders", 2)
	for p := range int32(2) {
		for range 100 {
			if err := k.client.ProduceSync(k.Context(), &kgo.Record{Topic: "orders", Partition: p, Value: []byte("x")}).FirstErr(); err != nil {
				k.Fatal(err)
			}
		}
	}
	k.commit("behind", "orders", 40, 2)
	k.commit("done", "orders", 100, 2)
	k.commit("partial", "orders", 90, 1)
	k.consume(kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumerGroup("live"))
}

func TestOneLookOfTheProgram(t *testing.T) {
	k := newKit(t)
	k.several()
	out, err := k.command("--once", "-o", "json", "--group", "^(behind|done|partial)$").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var look struct {
		Groups []struct {
			Group   string `json:"group"`
			Status  string `json:"status"`
			Lag     int64  `json:"lag"`
			TimeLag struct {
				Seconds float64 `json:"seconds"`
				Within  float64 `json:"within_seconds"`
				AtLeast bool    `json:"at_least"`
			} `json:"time_lag"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(out, &look); err != nil || len(look.Groups) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	for i, want := range []struct {
		status string
		lag    int64
	}{{"LAGS", 120}, {"OK", 0}, {"LAGS", 10}} {
		g := look.Groups[i]
		if g.Status != want.status || g.Lag != want.lag || g.TimeLag.AtLeast || g.TimeLag.Within > 1 || (g.TimeLag.Seconds > 0) != (want.lag > 0) {
			t.Errorf("%+v; want %+v", g, want)
		}
	}
	failed := k.command("--once", "--fail-if-lag-above", "119")
	if err := failed.Run(); err == nil || failed.ProcessState.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
}

// What a real Prometheus scrapes says the truth, in our names and in kafka_exporter's; and the expressions that the well-known dashboard and
// alert rules for kafka_exporter are made of have an answer.
func TestPrometheusAndTheProgram(t *testing.T) {
	k := newKit(t)
	k.several()
	address, _ := k.serve("--by", "partition", "--compat", "kafka_exporter")
	k.ready(address)
	p := servers.StartPrometheus(t, address)
	until := func(expression string, want ...float64) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			got, err := p.Query(t.Context(), expression)
			if err == nil && (len(want) == 0 && len(got) > 0 || len(want) == 1 && len(got) == 1 && got[0] == want[0]) {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%s is %v, %v; want %v", expression, got, err, want)
				return
			}
			<-tick.C
		}
	}
	until(`up`, 1)
	until(`sluice_monitor_group_lag_records{group="behind",topic="orders"}`, 120)
	until(`sluice_monitor_group_lag_records{group="done"}`, 0)
	until(`sum(sluice_monitor_partition_lag_records{group="behind",partition="1"})`, 60)
	until(`sluice_monitor_group_members{group="live"}`, 1)
	until(`sluice_monitor_group_lag_seconds{group="behind"} > 0`)
	until(`max(sluice_monitor_group_lag_seconds{group="done"})`, 0)
	until(`sum(sluice_monitor_problem)`, 0)
	until(`kafka_consumergroup_lag{consumergroup="partial",partition="1",topic="orders"}`, -1)
	until(`kafka_consumergroup_lag_sum{consumergroup="partial"}`, 10)
	until(`kafka_consumergroup_current_offset_sum{consumergroup="partial"}`, 90)
	for expression, want := range map[string][]float64{
		// Grafana's dashboard 7589
		`sum(rate(kafka_topic_partition_current_offset{topic=~"orders"}[1m])) by (topic)`:                      nil,
		`sum(kafka_consumergroup_lag{consumergroup="behind"}) by (consumergroup, topic)`:                       {120},
		`sum(delta(kafka_topic_partition_current_offset{topic=~"orders"}[5m])/5) by (topic)`:                   nil,
		`sum(delta(kafka_consumergroup_current_offset{topic=~"orders"}[5m])/5) by (consumergroup, topic) >= 0`: nil,
		`sum by(topic) (kafka_topic_partitions{topic="orders"})`:                                               {2},
		// awesome-prometheus-alerts and Strimzi
		`min(kafka_topic_partition_in_sync_replica{topic="orders"}) by (topic) < 3`:    {1},
		`sum(kafka_consumergroup_lag{consumergroup="behind"}) by (consumergroup) > 50`: {120},
		`sum(kafka_topic_partition_under_replicated_partition)`:                        {0},
		`changes(kafka_topic_partition_current_offset{topic="orders"}[10m]) == 0`:      nil,
		`kafka_brokers`: {1},
		// the mixin's
		`sum by(topic, consumergroup) (delta(kafka_consumergroup_lag{consumergroup="done"}[5m]))`: {0},
	} {
		until(expression, want...)
	}
}

// At ten thousand groups with commits on ten partitions each, a scrape and the memory stay within bounds. Times are logged; what is demanded
// leaves a busy machine some room.
func TestTenThousandGroupsServed(t *testing.T) {
	k := tenThousandGroups(t)
	for _, by := range []string{"topic", "partition"} {
		address, process := k.serve("--by", by)
		k.ready(address)
		url, fastest := "http://"+address+"/metrics", time.Hour
		rounds := func() (n int) {
			_, page := k.get(url)
			m := regexp.MustCompile(`(?m)^sluice_monitor_rounds_total (\d+)$`).FindSubmatch(page)
			if m != nil {
				n, _ = strconv.Atoi(string(m[1]))
			}
			return n
		}
		for seen := 0; seen < 6; {
			seen = rounds() // each is a scrape
		}
		var page []byte
		for range 5 {
			began := time.Now()
			_, page = k.get(url)
			fastest = min(fastest, time.Since(began))
		}
		memory := resident(t, process.Pid)
		n := bytes.Count(page, []byte("\n")) - bytes.Count(page, []byte("# "))
		t.Logf("by %s: %d series in %v, %d MiB resident at most", by, n, fastest, memory)
		if want := groups * partitions; by == "partition" && bytes.Count(page, []byte("\nsluice_monitor_partition_lag_records{")) != want {
			t.Errorf("not %d partitions", want)
		}
		if fastest > 5*time.Second || memory > 450 {
			t.Errorf("a scrape by %s takes %v, and %d MiB", by, fastest, memory)
		}
	}
}

// resident is what a process has had of memory at most, in MiB.
func resident(t *testing.T, pid int) (mib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in\n%s", text)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}
