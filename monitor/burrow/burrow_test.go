package burrow

import (
	"bytes"
	"encoding/json"
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
