package alertfile

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
)

var update = flag.Bool("update", false, "write the golden files anew")

func env(name string) (string, bool) { return "hunter2-hunter2", name == "TOKEN" }

// Every mistake is told at once, in the order of the lines, with its place, and without a secret.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Parse(filepath.Base(file), text, env)
		if err == nil {
			t.Errorf("%s: no mistake found", file)
			continue
		}
		got := err.Error() + "\n"
		if strings.Contains(got, "hunter2") || strings.Contains(got, "7117117") {
			t.Errorf("a secret is told:\n%s", got)
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || got != string(want) {
			t.Errorf("%s (go test -update writes it anew), %v\ngot:\n%s\nwant:\n%s", golden, err, got, want)
		}
	}
	if _, _, err := Load("testdata/none.yaml", env); err == nil || err.Error() != "testdata/none.yaml: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func load(t *testing.T) alert.Config {
	t.Helper()
	cfg, broken, err := Load("testdata/good.yaml", env)
	if err != nil {
		t.Fatal(err)
	}
	const want = "testdata/good.yaml:32:12: custom[1].when: there is no gruop; did you mean group?"
	if len(broken) != 1 || broken.Error() != want {
		t.Errorf("broken:\n%v\nwant:\n%s", broken, want)
	}
	return cfg
}

func TestGoodFile(t *testing.T) {
	t.Parallel()
	cfg := load(t)
	if cfg.StateFile != "testdata/state/alerts.json" || cfg.Labels["cluster"] != "prod" || len(cfg.Silences) != 1 {
		t.Errorf("%+v", cfg)
	}
	var receivers []string
	for _, r := range cfg.Receivers {
		receivers = append(receivers, fmt.Sprintf("%s %T %v %v %v %v", r.Name, r.Sender, r.Sender, r.Match, r.Repeat, r.Timeout))
	}
	const want = `alertmanager-1 *alert.Alertmanager http://127.0.0.1:9093 [] 0s 0s
chat *alert.Slack https://hooks.slack.example [{severity critical} {group billing*}] -1ns 3s
dingtalk-3 *alert.DingTalk https://oapi.dingtalk.example [] 0s 0s
wecom-4 *alert.WeCom https://qyapi.weixin.example [] 0s 0s
webhook-5 *alert.Webhook https://example.org [] 1h0m0s 0s`
	if got := strings.Join(receivers, "\n"); got != want {
		t.Errorf("receivers:\n%s\nwant:\n%s", got, want)
	}
	if s, ok := cfg.Receivers[1].Sender.(*alert.Slack); !ok || s.URL != "https://hooks.slack.example/services/T/B/hunter2-hunter2" {
		t.Errorf("the URL has no variable in it")
	}
	var rules []string
	for _, r := range cfg.Rules {
		switch r.Name {
		case timeLag, "GroupStalled", "GroupStopped", "PartitionUnderReplicated", "BigBacklog", "Broken":
			rules = append(rules, fmt.Sprint(r.Name, " ", r.Severity, " ", r.For, " ", r.KeepFiring, " ", r.Labels))
		}
	}
	const wantRules = `GroupTimeLag warning 0s 0s map[]
GroupTimeLag critical 5m0s 0s map[]
GroupStopped critical 0s 0s map[]
GroupStalled warning 10m0s -1ns map[]
BigBacklog info 5m0s 0s map[team:data]
Broken  0s 0s map[]`
	if got := strings.Join(rules, "\n"); got != wantRules {
		t.Errorf("rules:\n%s\nwant:\n%s", got, wantRules)
	}
	cfg.StateFile = filepath.Join(t.TempDir(), "alerts.json")
	if _, err := alert.New(cfg); err != nil {
		t.Errorf("what the file says is refused: %v", err)
	}
}

// A file with receivers alone has the rules that are built in.
func TestLeastFile(t *testing.T) {
	t.Parallel()
	cfg, broken, err := Parse("least.yaml", []byte("receivers: [{webhook: {url: http://127.0.0.1}}]"), env)
	if err != nil || broken != nil || len(cfg.Rules) != len(alert.Rules()) || len(cfg.Receivers) != 1 {
		t.Errorf("%+v, %v, %v", cfg, broken, err)
	}
}

// Conditions of one's own are judged row by row. One that cannot be judged says where it stands and for which row; the others go on.
func TestCustomRules(t *testing.T) {
	t.Parallel()
	row := func(id string, lag int64, members int) monitor.Group {
		return monitor.Group{ID: id, Members: make([]monitor.Member, members), Partitions: []monitor.Partition{
			{Topic: "orders", Partition: 4, Lag: lag, TimeLag: monitor.TimeLag{Known: true, Behind: 2 * time.Minute}},
		}}
	}
	s := &monitor.Snapshot{Round: 1, Groups: []monitor.Group{row("etl-1", 1001, 1), row("etl-2", 1000, 1), row("other", 5000, 0)}}
	for _, r := range load(t).Rules {
		found, err := r.Find(s)
		var got []string
		for _, f := range found {
			got = append(got, f.Summary)
		}
		text := fmt.Sprintf("%v; %v", got, err)
		var want string
		switch r.Name {
		case "BigBacklog":
			want = "[much is left: etl-1 on partition 4 of orders; 1001 records wait]; <nil>"
		case "Broken":
			want = "[]; testdata/good.yaml:32:12: custom[1].when: there is no gruop; did you mean group?"
		case "Fails":
			want = "[lag / members > 10: etl-1 on partition 4 of orders; 1001 records wait lag / members > 10: etl-2 on partition 4 of orders; " +
				"1000 records wait]; testdata/good.yaml:34:11: custom[2].when: for group other and orders[4]: division by zero"
		default:
			continue
		}
		if text != want {
			t.Errorf("%s: %s\nwant %s", r.Name, text, want)
		}
	}
}
