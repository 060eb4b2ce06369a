package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// row changes a partition that has nothing wrong with it.
func row(change func(*monitor.Partition)) *monitor.Snapshot {
	p := monitor.Partition{
		Topic: "orders", Partition: 3, Owner: -1, Commit: 900, Start: 100, Stable: 1000, End: 1000, Readable: 1000, Lag: 100, Status: monitor.OK, Watched: 1,
		TimeLag: monitor.TimeLag{Known: true, Behind: 2 * time.Second}, Drain: time.Minute,
	}
	change(&p)
	return &monitor.Snapshot{Round: 1, At: time.Unix(1_800_000_000, 0), Groups: []monitor.Group{{ID: "billing", Partitions: []monitor.Partition{p}}}}
}

// topic changes a partition of a topic that has nothing wrong with it.
func topic(change func(*monitor.Log)) *monitor.Snapshot {
	at := time.Unix(1_800_000_000, 0)
	l := monitor.Log{Partition: 3, Leader: 1, Replicas: []int32{1, 2, 3}, InSync: []int32{1, 2, 3}, Start: 0, Stable: 5, End: 5}
	change(&l)
	return &monitor.Snapshot{Round: 1, At: at, Topics: []monitor.Topic{{Name: "orders", Partitions: []monitor.Log{l}}}}
}

func behind(d time.Duration) func(*monitor.Partition) {
	return func(p *monitor.Partition) { p.TimeLag.Behind, p.Drain = d, -1 }
}

// Each rule that is built in finds what it is about, and nothing else.
func TestWhatTheRulesFind(t *testing.T) {
	t.Parallel()
	objectives := []Objective{{Group: "bill*", TimeLag: time.Minute, Severity: SeverityWarning}, {Group: "quiet", TimeLag: -1}}
	for name, test := range map[string]struct {
		snapshot *monitor.Snapshot
		want     string // name: summary
	}{
		"nothing":     {row(func(*monitor.Partition) {}), ""},
		"no topic":    {topic(func(*monitor.Log) {}), ""},
		"late":        {row(behind(61 * time.Second)), "GroupTimeLag: billing is 1m1s behind on partition 3 of orders; its objective is 1m"},
		"unknown lag": {row(func(p *monitor.Partition) { p.TimeLag = monitor.TimeLag{Behind: time.Hour} }), ""},
		"stopped": {
			row(func(p *monitor.Partition) { p.Status = monitor.Stop }),
			"GroupStopped: billing does not read partition 3 of orders any more; 100 records wait, the oldest for 2s",
		},
		"stalled": {
			row(func(p *monitor.Partition) { p.Status = monitor.Stall }),
			"GroupStalled: billing stands still on partition 3 of orders; 100 records wait, the oldest for 2s",
		},
		"rewound": {
			row(func(p *monitor.Partition) { p.Status = monitor.Rewind }),
			"GroupRewound: billing went back on partition 3 of orders; 100 records wait, the oldest for 2s",
		},
		"falls behind": {
			row(func(p *monitor.Partition) { p.Status = monitor.Warn }),
			"GroupFallsBehind: billing falls behind on partition 3 of orders; 100 records wait, the oldest for 2s",
		},
		"lost": {
			row(func(p *monitor.Partition) { p.Lost = 7 }),
			"RecordsLost: billing lost 7 records of partition 3 of orders, which retention deleted before they were handled",
		},
		"retention": {
			row(func(p *monitor.Partition) { p.Commit, p.Drain = 150, -1 }),
			"RetentionNear: billing has 94 % of partition 3 of orders unread; retention reaches what is unread after 50 records more",
		},
		"retention deletes nothing":    {row(func(p *monitor.Partition) { p.Start, p.Commit, p.Drain = 0, 0, -1 }), ""},
		"retention, and it catches up": {row(func(p *monitor.Partition) { p.Commit = 150 }), ""},
		"beyond": {
			row(func(p *monitor.Partition) { p.Commit, p.Lag = 1001, 0 }),
			"CommitBeyondEnd: the commit of billing is beyond the end of partition 3 of orders: 1001, where the log of partition 3 " +
				"ends at 1000",
		},
		"offline": {topic(func(l *monitor.Log) { l.Leader = -1 }), "PartitionOffline: partition 3 of orders without a leader"},
		"under-replicated": {
			topic(func(l *monitor.Log) { l.InSync = l.InSync[:2] }),
			"PartitionUnderReplicated: partition 3 of orders with fewer replicas in sync than it has",
		},
		"hanging": {
			topic(func(l *monitor.Log) { l.OpenSince = time.Unix(1_800_000_000, 0).Add(-17 * time.Minute) }),
			"TransactionHanging: a transaction hangs on partition 3 of orders",
		},
		"open": {topic(func(l *monitor.Log) { l.OpenSince = time.Unix(1_800_000_000, 0).Add(-15 * time.Minute) }), ""},
		"blind": {
			&monitor.Snapshot{Round: 1, Problems: []monitor.Problem{{What: "log ends", Err: errDown}, {What: "members", Err: errDown}}},
			"MonitorBlind: the monitor cannot see log ends: down; members: down",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, r := range Rules(objectives...) {
				found, err := r.Find(test.snapshot)
				if err != nil {
					t.Error(err)
				}
				for _, f := range found {
					got = append(got, r.Name+": "+f.Summary)
				}
			}
			if r := strings.Join(got, "\n"); r != test.want {
				t.Errorf("found %q, want %q", r, test.want)
			}
		})
	}
}

// Who reads, is behind by more than a minute and never catches up is told, half an hour later.
func TestNeverCatchesUp(t *testing.T) {
	t.Parallel()
	read := func(p *monitor.Partition) { behind(2 * time.Minute)(p); p.Owner = 0 }
	found, err := neverCatchesUp(row(read))
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	for _, not := range []func(*monitor.Partition){
		func(p *monitor.Partition) { p.Owner = -1 }, func(p *monitor.Partition) { p.Drain = time.Hour },
		func(p *monitor.Partition) { p.TimeLag.Behind = 59 * time.Second }, func(p *monitor.Partition) { p.Status = monitor.Warn },
	} {
		if found, _ := neverCatchesUp(row(func(p *monitor.Partition) { read(p); not(p) })); len(found) != 0 {
			t.Errorf("%v", found)
		}
	}
}

// The first objective that fits counts; where none does there is the default, which leaves alone who has no member or catches up in time.
func TestObjectives(t *testing.T) {
	t.Parallel()
	late := func(id string, rules []Rule, change func(*monitor.Partition)) (found []string) {
		s := row(change)
		s.Groups[0].ID = id
		for _, r := range rules {
			all, err := r.Find(s)
			if err != nil {
				t.Error(err)
			}
			for _, f := range all {
				found = append(found, fmt.Sprintf("%s %s %s", r.Severity, r.For, strings.SplitAfter(f.Summary, "objective is ")[1]))
			}
		}
		return found
	}
	rules := slices.DeleteFunc(Rules(
		Objective{Group: "quick-*", Topic: "pay*", TimeLag: 10 * time.Second, For: -1},
		Objective{Group: "quick-*", TimeLag: time.Minute, Severity: SeverityInfo, For: time.Hour},
		Objective{Group: "never", TimeLag: -1},
	), func(r Rule) bool { return r.Name != "GroupTimeLag" })
	owned := func(d time.Duration) func(*monitor.Partition) {
		return func(p *monitor.Partition) { behind(d)(p); p.Owner = 0 }
	}
	payments := func(p *monitor.Partition) { owned(11 * time.Second)(p); p.Topic = "payments" }
	nobody := func(p *monitor.Partition) { behind(time.Hour)(p); p.Owner = -1 }
	catches := func(p *monitor.Partition) { owned(time.Hour)(p); p.Drain = time.Minute }
	slowly := func(p *monitor.Partition) { owned(time.Hour)(p); p.Drain = time.Hour }
	for _, test := range []struct {
		group  string
		change func(*monitor.Partition)
		want   string
	}{
		{"quick-1", owned(59 * time.Second), "[]"},
		{"quick-1", owned(61 * time.Second), "[info 1h0m0s 1m]"},
		{"quick-1", nobody, "[info 1h0m0s 1m]"},
		{"quick-1", catches, "[info 1h0m0s 1m]"},
		{"quick-1", payments, "[critical 0s 10s]"},
		{"never", owned(time.Hour), "[]"},
		{"other", owned(9 * time.Minute), "[]"},
		{"other", owned(11 * time.Minute), "[critical 5m0s 10m]"},
		{"other", nobody, "[]"},
		{"other", catches, "[]"},
		{"other", slowly, "[critical 5m0s 10m]"},
	} {
		if got := fmt.Sprint(late(test.group, rules, test.change)); got != test.want {
			t.Errorf("%s: %s, want %s", test.group, got, test.want)
		}
	}
	if _, err := New(Config{Rules: Rules(Objective{})}); err == nil {
		t.Error("an objective without a time lag is taken")
	}
}

// Records are lost once: the rule finds them when their number grows.
func TestRecordsLostAreFoundWhenTheyGrow(t *testing.T) {
	t.Parallel()
	find := recordsLost()
	for i, step := range []struct{ lost, found int64 }{{0, 0}, {5, 1}, {5, 0}, {9, 1}, {0, 0}, {2, 1}} {
		found, err := find(row(func(p *monitor.Partition) { p.Lost = step.lost }))
		if err != nil || int64(len(found)) != step.found {
			t.Errorf("step %d: %v, %v", i, found, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"*b", "ba", false}, {"a*c*e", "abcde", true},
		{"a*a", "a", false}, {"a*c*e", "ae", false}, {"", "a", false}, {"", "", true}, {"a.c", "abc", false}, {"**", "x", true},
	} {
		if got := matches(test.pattern, test.text); got != test.want {
			t.Errorf("%q, %q: %v", test.pattern, test.text, got)
		}
	}
}

func TestBrokenNamesAreToldAsText(t *testing.T) {
	t.Parallel()
	a := Rule{Name: "R"}.withDefaults().alert(Finding{Group: "a\xffb", Summary: "a\xffb"}, nil)
	if a.Labels[LabelGroup] != "a\ufffdb" || a.Annotations[AnnotationSummary] != "a\ufffdb" {
		t.Errorf("%+v", a)
	}
}
