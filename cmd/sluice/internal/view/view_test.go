package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-go/sluice/monitor"
)

var update = flag.Bool("update", false, "write the golden files anew")

// some groups: billing lags on one partition; empty has neither commit nor member; evil has a name that would clear a terminal; gone cannot be
// seen; nightly has lost records, and nobody knows for how long; waiting has no commit.
func some() *monitor.Snapshot {
	at := time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC)
	unseen := errors.New("broker 2 does not answer")
	known := func(d time.Duration) monitor.TimeLag { return monitor.TimeLag{Known: true, Behind: d} }
	return &monitor.Snapshot{
		Round: 2, At: at, Took: 120 * time.Millisecond,
		Cluster: monitor.Cluster{ID: "c", Controller: 1, Brokers: []monitor.Broker{{ID: 1, Host: "kafka", Port: 9092}}},
		Groups: []monitor.Group{
			{
				ID: "billing", Type: "consumer", State: "Stable", Described: true, AsOf: at, Status: monitor.OK, Lag: 12_345, TimeLag: known(200 * time.Second),
				Members: []monitor.Member{{ID: "m-1", ClientID: "billing-1", Host: "/10.0.0.7", Partitions: 2}},
				Partitions: []monitor.Partition{
					{
						Topic: "invoices", Commit: 3, End: 3, Stable: 3, Readable: 3, TimeLag: known(0), Status: monitor.OK, Owner: -1,
					},
					{
						Topic: "orders", Commit: 10, End: 12_355, Stable: 12_355, Readable: 12_355, Lag: 12_345, TimeLag: known(200 * time.Second),
						Drain: time.Minute, Status: monitor.OK,
					},
					{
						Topic: "orders", Partition: 1, Commit: 7, End: 7, Stable: 7, Readable: 7, TimeLag: known(0), Status: monitor.OK,
					},
				},
			},
			{ID: "empty", Type: "classic", State: "Empty", Described: true, AsOf: at},
			{ID: "evil\x1b[2J", Type: "classic", State: "Stable", AsOf: at, Partitions: []monitor.Partition{
				{Topic: "orders", Commit: 12_355, End: 12_355, Stable: 12_355, Readable: 12_355, TimeLag: known(0), Owner: -1, Status: monitor.OK},
			}},
			{ID: "gone", Type: "classic", State: "Stable", Err: unseen},
			{ID: "nightly", Type: "classic", State: "Empty", Described: true, AsOf: at, Lag: 5, Partitions: []monitor.Partition{
				{
					Topic: "orders", Partition: 1, Commit: 0, Start: 2, End: 7, Stable: 7, Readable: 7, Lag: 5, Gone: 2, Owner: -1, Drain: -1,
					TimeLag: monitor.TimeLag{Known: true, Behind: 50 * time.Hour, AtLeast: true}, Status: monitor.OK,
				},
			}},
			{ID: "waiting", Type: "classic", State: "Stable", Described: true, AsOf: at, Members: make([]monitor.Member, 1), Partitions: []monitor.Partition{
				{Topic: "orders", Commit: -1, End: 9, Stable: 9, Readable: -1, Lag: -1, Drain: -1},
			}},
		},
		Problems: []monitor.Problem{{What: "commits", Err: unseen}},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s:\n%s", file, got)
	}
}

func table(t *testing.T, f Filter, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Of(some()).Table(&b, f, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What people see, the worst first.
func TestTable(t *testing.T) {
	t.Parallel()
	golden(t, "once.golden", table(t, Filter{OneLook: true}, 0))
	golden(t, "once_narrow.golden", table(t, Filter{OneLook: true, Partitions: true}, 96))
	golden(t, "partitions.golden", table(t, Filter{OneLook: true, Partitions: true}, 120))
	for l := range strings.Lines(table(t, Filter{OneLook: true, Partitions: true}, 120)) {
		if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > 120 {
			t.Errorf("%d characters: %s", n, l)
		}
	}
	if strings.Contains(table(t, Filter{}, 0), "\x1b") {
		t.Error("a group's name reaches the terminal as it is")
	}
}

// JSON is for programs: names and types stay; YAML says the same.
func TestJSON(t *testing.T) {
	t.Parallel()
	var text, other bytes.Buffer
	s := Filter{Partitions: true}.Of(some())
	if err := errors.Join(s.JSON(&text), s.YAML(&other)); err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, text.Bytes(), "", " "); err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot.json.golden", pretty.String())
	golden(t, "snapshot.yaml.golden", other.String())
	var a, b any
	if err := errors.Join(yaml.Unmarshal(text.Bytes(), &a), yaml.Unmarshal(other.Bytes(), &b)); err != nil {
		t.Fatal(err)
	}
	x, err := json.Marshal(a)
	y, failed := json.Marshal(b)
	if err != nil || failed != nil || !bytes.Equal(x, y) {
		t.Errorf("%v %v: YAML says something else", err, failed)
	}
	for _, name := range regexp.MustCompile(`"([^"]+)":`).FindAllStringSubmatch(text.String(), -1) {
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(name[1]) {
			t.Errorf("%q is no snake_case", name[1])
		}
	}
}

// One look does not say OK of who lags, nor that it drains: it cannot know.
func TestOneLookClaimsNoMoreThanItKnows(t *testing.T) {
	t.Parallel()
	s := Filter{OneLook: true, Partitions: true}.Of(some())
	want := map[string]string{
		"billing/invoices": "OK", "billing/orders": "LAGS", "evil\x1b[2J/orders": "OK", "nightly/orders": "LAGS", "waiting/orders": "NO COMMIT",
	}
	for _, g := range s.Groups {
		for _, r := range g.Topics {
			if r.Status != want[g.Group+"/"+r.Topic] || r.Drain != nil || r.Partitions[0].Stands != nil || r.Partitions[0].Drain != nil {
				t.Errorf("%s %+v", g.Group, r)
			}
		}
	}
	if s.Groups[0].Status != "LAGS" {
		t.Errorf("%+v", s.Groups[0])
	}
	if s := (Filter{}).Of(some()); s.Groups[0].Status != "OK" || s.Groups[0].Topics[1].Drain == nil {
		t.Errorf("a monitor that watches knows it: %+v", s.Groups[0])
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	f := Filter{Group: regexp.MustCompile("^(billing|empty)$"), Topic: regexp.MustCompile("inv"), OneLook: true}
	s := f.Of(some())
	if len(s.Groups) != 1 || len(s.Groups[0].Topics) != 1 || s.Groups[0].Topics[0].Topic != "invoices" {
		t.Errorf("%+v", s.Groups)
	}
	if !f.Known(some()) || (Filter{}).Known(some()) {
		t.Error("nightly's records are of an unknown age, invoices' are not")
	}
}

// In a pipeline, a limit that cannot be checked is not kept.
func TestLimit(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		limit, group string
		want         []string
	}{
		{"12345", "billing", nil},
		{"12344", "billing", []string{"group billing, topic orders: the lag is 12345, more than 12344"}},
		{"200s", "billing", nil},
		{"3m19s", "billing", []string{"group billing, topic orders: the time lag is 3m20s, more than 3m19s"}},
		{"49h", "nightly", []string{"the time lag is ≥2d02h, more than 49h0m0s"}},
		{"51h", "nightly", []string{"may be more than 51h0m0s"}},
		{"5", "nightly", nil},
		{"0", "waiting", []string{"1 of its partitions has records and no commit"}},
		{"0", "gone", []string{"broker 2 does not answer"}},
		{"0", "empty", []string{"group empty: its lag is not known: it has no commit, and no member of it has a partition"}},
		{"0", "nobody", []string{"there is no such group"}},
	} {
		limit, err := ParseLimit(x.limit)
		if err != nil {
			t.Fatal(err)
		}
		got := limit.Exceeded(Filter{Group: regexp.MustCompile("^" + x.group + "$"), OneLook: true}.Of(some()))
		if len(got) != len(x.want) || len(got) > 0 && !strings.Contains(got[0], x.want[0]) {
			t.Errorf("%s of %s: %q; want %q", x.limit, x.group, got, x.want)
		}
	}
	for _, bad := range []string{"", "-1", "x", "5 m", "-5m", "1e3"} {
		if _, err := ParseLimit(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := (Limit{}).Exceeded(Snapshot{}); got != nil {
		t.Errorf("no limit: %q", got)
	}
}

// What a row's sums leave out may be any lag: none of it passes for one that is small, nor behind one that is known.
func TestLimitOfWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	away := errors.New("broker 2 does not answer")
	seen := monitor.Partition{Topic: "orders", Commit: 9, End: 10, Stable: 10, Readable: 10, Lag: 1, TimeLag: monitor.TimeLag{Known: true, Behind: time.Minute}}
	second := func(change func(*monitor.Partition)) monitor.Partition {
		p := seen
		p.Partition = 1
		change(&p)
		return p
	}
	for name, x := range map[string]struct {
		p           monitor.Partition
		records, by string // what the limits of 5 records and of 5 minutes say
	}{
		"seen": {second(func(*monitor.Partition) {}), "", ""},
		"a log that is empty needs no commit": {second(func(p *monitor.Partition) {
			p.Commit, p.Start, p.End, p.Lag, p.Readable, p.TimeLag = -1, 10, 10, -1, -1, monitor.TimeLag{}
		}), "", ""},
		"no commit": {second(func(p *monitor.Partition) {
			p.Commit, p.Lag, p.Readable, p.TimeLag = -1, -1, -1, monitor.TimeLag{}
		}), "1 of its partitions has records and no commit", "1 of its partitions has records and no commit"},
		"as it was seen before": {second(func(p *monitor.Partition) { p.Err = away }), "broker 2 does not answer", "broker 2 does not answer"},
		"never seen": {second(func(p *monitor.Partition) {
			p.Commit, p.Lag, p.End, p.Readable, p.TimeLag, p.Err = -1, -1, -1, -1, monitor.TimeLag{}, away
		}), "broker 2 does not answer", "broker 2 does not answer"},
		"beyond the end": {second(func(p *monitor.Partition) {
			p.Commit, p.Lag, p.TimeLag, p.Err = 12, 0, monitor.TimeLag{Known: true}, errors.New("commit 12 is beyond the end")
		}), "beyond the end", "beyond the end"},
		"a bound below another's age": {second(func(p *monitor.Partition) {
			p.TimeLag = monitor.TimeLag{Known: true, Behind: time.Second, AtLeast: true}
		}), "", "may be more than 5m0s"},
		"of an unknown age": {second(func(p *monitor.Partition) { p.TimeLag = monitor.TimeLag{} }), "", "1 of its partitions has records of an unknown age"},
	} {
		for limit, want := range map[string]string{"5": x.records, "5m": x.by} {
			l, err := ParseLimit(limit)
			if err != nil {
				t.Fatal(err)
			}
			s := &monitor.Snapshot{Groups: []monitor.Group{{ID: "billing", Partitions: []monitor.Partition{seen, x.p}}}}
			got := l.Exceeded(Filter{OneLook: true}.Of(s))
			if (len(got) == 0) != (want == "") || len(got) > 1 || !strings.Contains(strings.Join(got, ""), want) {
				t.Errorf("%s, at most %s: %q; want %q", name, limit, got, want)
			}
		}
	}
	// What is known to be too much is told beside what is not known, and a topic's name hides no group that cannot be seen.
	s := &monitor.Snapshot{Groups: []monitor.Group{
		{ID: "billing", Partitions: []monitor.Partition{second(func(p *monitor.Partition) { p.Lag, p.Err = 7, away })}},
		{ID: "gone", Err: away},
		{ID: "workers", ProtocolType: "connect"},
	}}
	got := strings.Join(Limit{true, 5, -1}.Exceeded(Filter{OneLook: true, Topic: regexp.MustCompile("orders")}.Of(s)), "\n")
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "the lag is 7, more than 5") || !strings.Contains(got, "not known: broker 2") ||
		!strings.Contains(got, "group gone: broker 2") {
		t.Errorf("%s", got)
	}
	if got := (Limit{true, 5, -1}).Exceeded(Filter{OneLook: true, Group: regexp.MustCompile("workers")}.Of(s)); got != nil {
		t.Errorf("a group that reads nothing has a lag: %q", got)
	}
}

// Partitions that came while a group was down have neither a commit nor a member: what is in them counts all the same.
func TestPartitionsThatNobodyHas(t *testing.T) {
	t.Parallel()
	row := func(n int32) monitor.Partition {
		return monitor.Partition{Topic: "orders", Partition: n, Owner: -1, Commit: 5, End: 5, Stable: 5, Readable: 5, TimeLag: monitor.TimeLag{Known: true}}
	}
	logs := func(ends ...int64) (all []monitor.Log) {
		for n, end := range ends {
			all = append(all, monitor.Log{Partition: int32(n), End: end, Stable: end})
		}
		return all
	}
	away := logs(5, 5, 5)
	away[2].Start, away[2].End, away[2].Err = -1, -1, errors.New("broker 2 does not answer")
	for name, x := range map[string]struct {
		rows          []monitor.Partition
		logs          []monitor.Log
		status, limit string
		partitions    []int32
		uncommitted   int
	}{
		"none":                 {[]monitor.Partition{row(0), row(1)}, logs(5, 5), "OK", "", []int32{0, 1}, 0},
		"added at the end":     {[]monitor.Partition{row(0), row(1)}, logs(5, 5, 9, 7), "NO COMMIT", "2 of its partitions have records and no commit", []int32{0, 1, 2, 3}, 2},
		"between":              {[]monitor.Partition{row(1), row(3)}, logs(1, 5, 0, 5), "NO COMMIT", "1 of its partitions has records and no commit", []int32{0, 1, 2, 3}, 2},
		"empty ones":           {[]monitor.Partition{row(1)}, logs(0, 5, 0), "OK", "", []int32{0, 1, 2}, 2},
		"out of sight":         {[]monitor.Partition{row(0), row(1)}, away, "UNSEEN", "broker 2 does not answer", []int32{0, 1, 2}, 1},
		"a topic that is gone": {[]monitor.Partition{row(0), row(1)}, nil, "OK", "", []int32{0, 1}, 0},
	} {
		s := &monitor.Snapshot{Groups: []monitor.Group{{ID: "billing", Partitions: append(x.rows, monitor.Partition{Topic: "other", Commit: 1, End: 1})}}}
		if x.logs != nil {
			s.Topics = []monitor.Topic{{Name: "orders", Partitions: x.logs}}
		}
		got := Filter{OneLook: true, Partitions: true}.Of(s)
		var numbers []int32
		r := got.Groups[0].Topics[0]
		for _, p := range r.Partitions {
			numbers = append(numbers, p.Partition)
		}
		limit := strings.Join(Limit{true, 0, -1}.Exceeded(got), "")
		if r.Status != x.status || !slices.Equal(numbers, x.partitions) || r.Uncommitted != x.uncommitted || len(got.Groups[0].Topics) != 2 ||
			(limit == "") != (x.limit == "") || !strings.Contains(limit, x.limit) {
			t.Errorf("%s: %s %q %+v", name, r.Status, limit, r)
		}
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{
		0: "0s", 0.04: "0.0s", 1.26: "1.3s", 59.9: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 86_399: "23h59m", 90_000: "1d01h",
	} {
		if got := Age(seconds); got != want {
			t.Errorf("%v is %q; want %q", seconds, got, want)
		}
	}
}
