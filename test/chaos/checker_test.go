package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
)

// acknowledged is a ledger of three records of one key, and one of another, in one partition.
var acknowledged = map[coordinate]entry{
	{0, 0}: {"a", 0}, {0, 1}: {"a", 1}, {0, 2}: {"b", 0}, {0, 3}: {"a", 2},
}

// account is what a member's journal says: words such as "A0", "B1" (the record at offset 1 begins), "E1", "C2" (2 is committed), "R" (released),
// "L" (lost), "X". The n-th word of it is told at the time start + n.
func account(t *testing.T, process string, start int, words string) []*tenure {
	t.Helper()
	var lines []line
	for i, w := range strings.Fields(words) {
		at := start + i
		var n int64
		_, _ = fmt.Sscanf(w[1:], "%d", &n) // some have no number
		text := map[byte]string{
			'A': fmt.Sprintf("A %d 0", at),
			'B': fmt.Sprintf("B %d 0 %d %s %d", at, n, acknowledged[coordinate{0, n}].key, acknowledged[coordinate{0, n}].number),
			'E': fmt.Sprintf("E %d 0 %d", at, n),
			'C': fmt.Sprintf("C %d 5 0=%d", at, n),
			'F': fmt.Sprintf("F %d", at),
			'O': fmt.Sprintf("O %d 0", at),
			'R': fmt.Sprintf("R %d 0 released", at),
			'L': fmt.Sprintf("R %d 0 lost", at),
			'X': fmt.Sprintf("X %d", at),
			'P': fmt.Sprintf("B %d 0 %d a 99", at, n),
			'Z': fmt.Sprintf("B %d 0 %d %s -1", at, n, abortedKey),
		}[w[0]]
		l, err := parseLine(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	return tenures(process, lines)
}

const all = "A B0 E0 B1 E1 B2 E2 B3 E3 C4 "

func TestTheCheckerOfRuns(t *testing.T) {
	for name, c := range map[string]struct {
		members []string // the n-th begins at 1,000 n
		want    outcome
	}{
		"all is well":                   {[]string{all + "R X"}, outcome{Runs: 4}},
		"a record is never run":         {[]string{"A B0 E0 B1 E1 B2 E2 C4 R X"}, outcome{Runs: 3, NeverRun: 1}},
		"a record is never finished":    {[]string{"A B0 E0 B1 E1 B2 E2 B3 C4 R X"}, outcome{Runs: 4, Lost: 1}},
		"a record that never was":       {[]string{"A P7 B0 E0 B1 E1 B2 E2 B3 E3 C4 R X"}, outcome{Runs: 4, Phantom: 1}},
		"a record with another number":  {[]string{"A B0 E0 B1 E1 B2 E2 P3 E3 C4 R X"}, outcome{Runs: 3, Phantom: 1, NeverRun: 0}},
		"a record that was aborted":     {[]string{"A Z9 B0 E0 B1 E1 B2 E2 B3 E3 C4 R X"}, outcome{Runs: 4, Aborted: 1}},
		"out of order":                  {[]string{"A B1 E1 B0 E0 B2 E2 B3 E3 C4 R X"}, outcome{Runs: 4, OutOfOrder: 1}},
		"the next before the end":       {[]string{"A B0 B1 E0 E1 B2 E2 B3 E3 C4 R X"}, outcome{Runs: 4, OutOfOrder: 1}},
		"keys may overtake each other":  {[]string{"A B2 E2 B0 E0 B1 E1 B3 E3 C4 R X"}, outcome{Runs: 4}},
		"a kill excuses":                {[]string{"A B0 E0 B1 E1 C1 B2", "A B1 E1 B2 E2 B3 E3 C4 X"}, outcome{Runs: 5 + 1, Duplicates: 2, Allowed: 2}},
		"a kill excuses no commit":      {[]string{"A B0 E0 B1 E1 C1 B2", all + "X"}, outcome{Runs: 7, Duplicates: 3, Allowed: 2, Unexcused: 1}},
		"a loss excuses a zombie's":     {[]string{"A B0 E0 B1 E1 C2 B2 E2 L B3 E3", "A B2 E2 B3 E3 C4 X"}, outcome{Runs: 6, Duplicates: 2, Allowed: 2}},
		"a release excuses nothing":     {[]string{"A B0 E0 B1 E1 C2 R X", all + "X"}, outcome{Runs: 6, Duplicates: 2, Unexcused: 2}},
		"but not what was told since":   {[]string{"A B0 E0 F C1 B1 E1 R X", all + "X"}, outcome{Runs: 6, Duplicates: 2, Unexcused: 2}},
		"a drain that forgot to commit": {[]string{"A B0 E0 B1 E1 R X", all + "X"}, outcome{Runs: 6, Duplicates: 2, Unexcused: 2}},
		"an overrun excuses":            {[]string{"A B0 E0 C1 B1 O R E1 X", "A B1 E1 B2 E2 B3 E3 C4 X"}, outcome{Runs: 5, Duplicates: 1, Allowed: 1}},
		"a kill before anything":        {[]string{"", all + "X"}, outcome{Runs: 4}},
		"a failed commit excuses":       {[]string{"A B0 E0 B1 E1 F R X", all + "X"}, outcome{Runs: 6, Duplicates: 2, Allowed: 2}},
		"twice within a tenure":         {[]string{"A B0 E0 B1 E1 B1 E1 B2 E2 B3 E3 C4 R X"}, outcome{Runs: 5, Duplicates: 1, Unexcused: 1}},
		"twice within a killed tenure":  {[]string{"A B0 E0 B0 E0", all + "X"}, outcome{Runs: 6, Duplicates: 2, Allowed: 2, Unexcused: 1}},
		"ahead of the offset, and told": {[]string{"A B1 E1 C0 B2 E2 C0 B3", "A B0 E0 B1 E1 B2 E2 B3 E3 X"}, outcome{Runs: 7, Duplicates: 3, Allowed: 2, Unexcused: 1, OutOfOrder: 1}},
		"twice excused, thrice run":     {[]string{"A B0 E0", "A B0 E0", all + "X"}, outcome{Runs: 6, Duplicates: 2, Allowed: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := outcome{Causes: map[string]int{}}
			var told []*tenure
			for i, words := range c.members {
				told = append(told, account(t, fmt.Sprint("member ", i), 1000*(i+1), words)...)
			}
			got.judgeRuns(acknowledged, told)
			got.Examples, got.Causes = nil, nil
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("got\n%+v, want\n%+v", got, c.want)
			}
		})
	}
}

func TestTheCheckerOfOutputs(t *testing.T) {
	row := func(offset int64) output {
		return output{coordinate{0, offset}, acknowledged[coordinate{0, offset}], "m"}
	}
	good := []output{row(0), row(1), row(2), row(3)}
	for name, c := range map[string]struct {
		outputs []output
		want    outcome
	}{
		"all is well":               {good, outcome{Runs: 4}},
		"a row is missing":          {good[:3], outcome{Runs: 3, Lost: 1}},
		"a row is there twice":      {append(good[:4:4], row(1)), outcome{Runs: 5, Duplicates: 1, Unexcused: 1}},
		"a row that never was":      {append(good[:4:4], output{coordinate{0, 9}, entry{"a", 9}, "m"}), outcome{Runs: 4, Phantom: 1}},
		"a row of what was aborted": {append(good[:4:4], output{coordinate{0, 9}, entry{abortedKey, -1}, "m"}), outcome{Runs: 4, Aborted: 1}},
		"out of order":              {[]output{row(1), row(0), row(2), row(3)}, outcome{Runs: 4, OutOfOrder: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got outcome
			got.judgeOutputs(acknowledged, acknowledged, c.outputs)
			got.Examples = nil
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("got\n%+v, want\n%+v", got, c.want)
			}
		})
	}
}

// The verdict is broken by whatever is wrong with a job, and by a control job that is clean.
func TestTheVerdict(t *testing.T) {
	clean := job{Name: "partition", Mode: byPartition, Protocol: sluice.ClassicProtocol}
	once := job{Name: "sql", Mode: toSQL, Engine: mariaDB}
	control := job{Name: "guide", Mode: guideAuto, Control: true}
	for name, c := range map[string]struct {
		report report
		says   string // empty: it holds
	}{
		"all is well":         {report{Jobs: []*outcome{{Job: clean, Duplicates: 3, Allowed: 9}, {Job: once}, {Job: control, Unexcused: 1}}}, ""},
		"lost":                {report{Jobs: []*outcome{{Job: clean, Lost: 1}}}, "partition: 0 never run, 1 lost"},
		"never run":           {report{Jobs: []*outcome{{Job: clean, NeverRun: 1}}}, "1 never run"},
		"phantom":             {report{Jobs: []*outcome{{Job: once, Phantom: 1}}}, "1 phantom"},
		"out of order":        {report{Jobs: []*outcome{{Job: clean, OutOfOrder: 1}}}, "1 out of order"},
		"twice":               {report{Jobs: []*outcome{{Job: once, Duplicates: 1, Unexcused: 1}}}, "sql: "},
		"aborted":             {report{Jobs: []*outcome{{Job: once, Aborted: 1}}}, "1 aborted reads"},
		"late":                {report{Jobs: []*outcome{{Job: once, CaughtUp: 31}}}, "lag 0 only after 31.0 s"},
		"behind":              {report{Behind: []string{"sql is 5 records behind"}}, "5 records behind"},
		"stuck":               {report{Late: []string{"sql-0-1"}}, "sql-0-1 did not end"},
		"ended":               {report{Ended: []unexpected{{Job: "sql", Member: "sql-0-1"}}, Jobs: []*outcome{{Job: once}}}, "sql-0-1 ended by itself"},
		"a clean control job": {report{Jobs: []*outcome{{Job: control}}}, "guide came out clean"},
		"one that was spared": {report{Seconds: 75, Jobs: []*outcome{{Job: control}, {Job: control, Unexcused: 1}}}, ""},
		"one of a long run":   {report{Seconds: 300, Jobs: []*outcome{{Job: control}, {Job: control, Unexcused: 1}}}, "guide came out clean"},
	} {
		t.Run(name, func(t *testing.T) {
			c.report.judge()
			if c.report.Held != (c.says == "") || !strings.Contains(c.report.Verdict, c.says) || strings.Contains(c.report.Verdict, "\n") {
				t.Errorf("held %t: %s", c.report.Held, c.report.Verdict)
			}
		})
	}
}

// What SIGKILL leaves of a last line was not told; the rest is read as it was written.
func TestAJournal(t *testing.T) {
	path := t.TempDir() + "/journal"
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	j.notef('A', "%d", 3)
	j.notef('B', "%d %d %s %d", 3, 17, "3-5", 2)
	j.notef('C', "%d%s", 12, " 3=18 4=2")
	j.notef('R', "%d %s", 3, "lost")
	if _, err := j.file.WriteString("E 17"); err != nil {
		t.Fatal(err)
	}
	lines, err := readJournal(path)
	if err != nil || len(lines) != 4 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if l := lines[1]; l.kind != 'B' || l.partition != 3 || l.offset != 17 || l.word != "3-5" || l.number != 2 {
		t.Errorf("%+v", l)
	}
	if l := lines[2]; !maps.Equal(l.offsets, map[int32]int64{3: 18, 4: 2}) {
		t.Errorf("%+v", l)
	}
	if l := lines[3]; l.word != "lost" {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{"", "Q 1", "B 1 2", "E x 1 2", "C 1 5 3=x"} {
		if _, err := parseLine(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
