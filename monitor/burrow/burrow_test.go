package burrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

var update = flag.Bool("update", false, "write the golden file anew")

func some() *monitor.Snapshot {
	at := time.UnixMilli(1_790_000_000_000)
	look := func(ago time.Duration, commit, lag int64) monitor.Look {
		return monitor.Look{At: at.Add(-ago), Commit: commit, Lag: lag}
	}
	return &monitor.Snapshot{
		Round: 9, At: at, Cluster: monitor.Cluster{ID: "5L6g3nShT-eMCtK", Brokers: []monitor.Broker{{ID: 1, Host: "kafka", Port: 9092}}},
		Groups: []monitor.Group{
			{
				ID: "billing", Members: []monitor.Member{{ClientID: "billing-1", Host: "/10.0.0.7"}}, Partitions: []monitor.Partition{
					{
						Topic: "orders", Partition: 0, Owner: 0, Commit: 10, End: 10, Status: monitor.OK, Watched: 1,
						First: look(10*time.Minute, 1, 3), Last: look(0, 10, 0),
					},
					{
						Topic: "orders", Partition: 2, Owner: 0, Commit: 5, End: 12, Lag: 7, Status: monitor.Stall, Watched: 0.5,
						First: look(10*time.Minute, 5, 3), Last: look(0, 5, 7),
					},
				},
			},
			{ID: "empty"},
			{ID: "new/group", Partitions: []monitor.Partition{{Topic: "orders", Partition: 0, Commit: -1, Lag: -1}}},
			{ID: "well", Partitions: []monitor.Partition{{Topic: "orders", Commit: 10, End: 10, Owner: -1, Status: monitor.OK, Watched: 1}}},
		},
		Topics: []monitor.Topic{{Name: "orders", Partitions: []monitor.Log{{Partition: 0, End: 10}, {Partition: 2, End: 12}}}},
	}
}

func ask(t *testing.T, h http.Handler, method, path string) (code int, body string) {
	t.Helper()
	out := httptest.NewRecorder()
	h.ServeHTTP(out, httptest.NewRequest(method, path, http.NoBody))
	return out.Code, out.Body.String()
}

// Nothing is said to be OK that was not seen: neither a whole group, nor one whose partition has gone out of sight.
func TestWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	away := errors.New("broker 2 does not answer")
	for name, x := range map[string]struct {
		change              func(*monitor.Snapshot, *monitor.Group)
		code                int
		group, first        string
		complete, partition float64
		listed              int // of the two partitions, at /status
		message             string
	}{
		"all is seen": {func(*monitor.Snapshot, *monitor.Group) {}, http.StatusOK, "OK", "OK", 1, 1, 0, "consumer status returned"},
		"the members are not known, which spoils no status": {func(s *monitor.Snapshot, g *monitor.Group) {
			g.AsOf, g.Err = s.At, away
		}, http.StatusOK, "OK", "OK", 1, 1, 0, "consumer status returned"},
		"no commit was seen": {func(_ *monitor.Snapshot, g *monitor.Group) { g.Err = away },
			http.StatusOK, "NOTFOUND", "NOTFOUND", 0, 0, 2, "not all of it can be seen: broker 2 does not answer"},
		"one partition was not": {func(_ *monitor.Snapshot, g *monitor.Group) { g.Partitions[0].Err = away },
			http.StatusOK, "NOTFOUND", "NOTFOUND", 0.5, 0, 1, "not all of it can be seen: orders[0]: broker 2 does not answer"},
		"one commit was not, nor ever": {func(_ *monitor.Snapshot, g *monitor.Group) {
			p := &g.Partitions[0]
			p.Commit, p.Lag, p.Status, p.Err = -1, -1, monitor.Unknown, away
		}, http.StatusOK, "NOTFOUND", "NOTFOUND", 0.5, 0, 1, "not all of it can be seen: orders[0]: broker 2 does not answer"},
		"a commit beyond the end was seen": {func(_ *monitor.Snapshot, g *monitor.Group) {
			g.Partitions[0].Err = fmt.Errorf("commit 12 is %w", monitor.ErrBeyondEnd)
		}, http.StatusOK, "OK", "OK", 1, 1, 0, "consumer status returned"},
		"a partition that is gone was, too": {func(_ *monitor.Snapshot, g *monitor.Group) { g.Partitions[0].Err = monitor.ErrNoPartition },
			http.StatusOK, "OK", "OK", 1, 1, 0, "consumer status returned"},
		"what stood still when it was seen last": {func(_ *monitor.Snapshot, g *monitor.Group) {
			g.Partitions[0].Status, g.Err = monitor.Stall, away
		}, http.StatusOK, "ERR", "STALL", 0, 0, 2, "not all of it can be seen: broker 2 does not answer"},
		"beside one that falls behind": {func(_ *monitor.Snapshot, g *monitor.Group) {
			g.Partitions[0].Err, g.Partitions[1].Status = away, monitor.Warn
		}, http.StatusOK, "WARN", "NOTFOUND", 0.5, 0, 2, "not all of it can be seen: orders[0]: broker 2 does not answer"},
		"never seen": {func(_ *monitor.Snapshot, g *monitor.Group) { g.Partitions, g.Err = nil, away },
			http.StatusNotFound, "NOTFOUND", "", 0, 0, 0, "not all of it can be seen: broker 2 does not answer"},
	} {
		s := some()
		g := &s.Groups[0]
		g.AsOf = s.At.Add(-time.Minute)
		g.Partitions[1].Status, g.Partitions[1].Watched = monitor.OK, 1
		x.change(s, g)
		h := Handler(func() *monitor.Snapshot { return s }, "local")
		var status, lag consumerStatus
		code, body := ask(t, h, http.MethodGet, "/v3/kafka/local/consumer/billing/status")
		_, all := ask(t, h, http.MethodGet, "/v3/kafka/local/consumer/billing/lag")
		if err := errors.Join(json.Unmarshal([]byte(body), &status), json.Unmarshal([]byte(all), &lag)); err != nil {
			t.Fatal(err)
		}
		one := partitionStatus{}
		if len(lag.Status.Partitions) > 0 {
			one = *lag.Status.Partitions[0]
		}
		if code != x.code || status.Status.Status != x.group || lag.Status.Status != x.group || one.Status != x.first ||
			status.Status.Complete != x.complete || one.Complete != x.partition || len(status.Status.Partitions) != x.listed ||
			!strings.HasSuffix(status.Message, x.message) || lag.Message != status.Message {
			t.Errorf("%s: %d\n%s%s", name, code, body, all)
		}
	}
}

// Names and shapes are what Burrow's clients read.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const file = "testdata/answers.golden"
	h := Handler(some, "local")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, path := range []string{
		"", "/local", "/local/topic", "/local/topic/orders", "/local/topic/none", "/local/topic/orders/consumers", "/local/topic/none/consumers",
		"/local/consumer", "/local/consumer/billing", "/local/consumer/none", "/local/consumer/billing/status", "/local/consumer/billing/lag",
		"/local/consumer/well/status", "/local/consumer/empty/status", "/local/consumer/none/lag", "/other", "/other/consumer", "/local/nothing",
	} {
		code, body := ask(t, h, http.MethodGet, "/v3/kafka"+path)
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, []byte(body), "", " "); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
		fmt.Fprintf(&got, "GET /v3/kafka%s: %d\n%s\n", path, code, strings.ReplaceAll(pretty.String(), `"host": "`+host+`"`, `"host": "HOST"`))
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("not as in %s:\n%s", file, &got)
	}
}

// Burrow can forget groups; nothing can be changed here.
func TestNothingCanBeChanged(t *testing.T) {
	t.Parallel()
	h := Handler(some, "local")
	for _, path := range []string{"/v3/kafka/local/consumer/billing", "/v3/kafka/local/consumer/billing/topic/orders", "/v3/admin/loglevel"} {
		for _, method := range []string{http.MethodDelete, http.MethodPost, http.MethodPut} {
			if code, body := ask(t, h, method, path); code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %s", method, path, code, body)
			}
		}
	}
}

// A number that no topic has fills no memory.
func TestNumbersThatNoPartitionHas(t *testing.T) {
	t.Parallel()
	s := some()
	s.Groups[0].Partitions[0].Partition, s.Groups[0].Partitions[1].Partition = -1, 1<<31-1
	s.Topics[0].Partitions[0].Partition, s.Topics[0].Partitions[1].Partition = -1, 1<<31-1
	h := Handler(func() *monitor.Snapshot { return s }, "local")
	for path, want := range map[string]string{"consumer/billing": `"topics":{}`, "topic/orders": `"offsets":[]`} {
		if code, body := ask(t, h, http.MethodGet, "/v3/kafka/local/"+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d %s", code, body)
		}
	}
}

// The cluster is called by its ID where it has no other name, and is not there before that is known. Any name of a group can be asked for.
func TestNames(t *testing.T) {
	t.Parallel()
	s := some()
	h := Handler(func() *monitor.Snapshot { return s }, "")
	if code, _ := ask(t, h, http.MethodGet, "/v3/kafka/"+s.Cluster.ID+"/consumer"); code != http.StatusOK {
		t.Error(code)
	}
	if code, body := ask(t, h, http.MethodGet, "/v3/kafka/"+s.Cluster.ID+"/consumer/"+url.PathEscape("new/group")); code != http.StatusOK {
		t.Error(code, body)
	}
	s = &monitor.Snapshot{}
	if code, body := ask(t, h, http.MethodGet, "/v3/kafka"); code != http.StatusOK || !strings.Contains(body, `"clusters":[]`) {
		t.Error(code, body)
	}
	if code, _ := ask(t, h, http.MethodGet, "/v3/kafka//consumer"); code == http.StatusOK {
		t.Error(code)
	}
}
