package monitor

import (
	"fmt"
	"testing"
	"time"
)

// script is a group on one partition, second by second. Nil functions are left at their default.
type script struct {
	hours   float64
	write   func(s int) int     // records written in that second
	work    func(s int) int     // records that the group can handle in it
	who     func(s int) readers // default: a member
	commit  int                 // seconds between commits; default 5
	move    func(s int, position int64) int64
	start   func(s int) int64 // the log's start
	blind   func(s int) bool  // the monitor does not look
	allowed int64
	window  time.Duration
}

// told is a status, and when it began and ended, in seconds.
type told struct {
	status   Status
	from, to int
}

// play runs a script with a round every 10 seconds, and returns what was told, but for OK and Unknown.
func (c script) play() (all []told) {
	rules := Rules{AllowedLag: c.allowed, Window: c.window}.withDefaults()
	base := time.Unix(1_800_000_000, 0)
	var h history
	var w window
	var end, position, committed int64
	every := max(c.commit, 5)
	last, unseen := Unknown, false
	for s := range int(c.hours * 3600) {
		end += int64(c.write(s))
		position += min(int64(c.work(s)), end-position)
		if c.move != nil {
			position = c.move(s, position)
		}
		if s%every == 0 && c.work(s) > 0 || position < committed {
			committed = position
		}
		if s%10 != 0 {
			continue
		}
		if c.blind != nil && c.blind(s) {
			unseen = true
			continue
		}
		who, start, now := aReader, int64(0), base.Add(time.Duration(s)*time.Second)
		if c.who != nil {
			who = c.who(s)
		}
		if c.start != nil {
			start = c.start(s)
		}
		if unseen {
			w.leaveOut(now)
			unseen = false
		}
		h.observe(now, now, end)
		w.see(now, committed, end-max(committed, start), who, rules)
		status := rules.judge(&w, who, timeLagOf(&h, now, committed, start, end))
		if status != last && status.severity() > OK.severity() {
			all = append(all, told{status, s, s})
		}
		if n := len(all); n > 0 && status == all[n-1].status {
			all[n-1].to = s
		}
		last = status
	}
	return all
}

func always(n int) func(int) int { return func(int) int { return n } }

// during is n from one second to another, and otherwise elsewhere.
func during(from, to, n, elsewhere int) func(int) int {
	return func(s int) int {
		if s >= from && s < to {
			return n
		}
		return elsewhere
	}
}

// hourly is n in the first minutes of each hour.
func hourly(minutes, n int) func(int) int {
	return func(s int) int {
		if s%3600 < minutes*60 {
			return n
		}
		return 0
	}
}

func membersWhile(f func(int) int) func(int) readers {
	return func(s int) readers {
		if f(s) > 0 {
			return aReader
		}
		return noMembers
	}
}

const minute, hour = 60, 3600

// Everything that an operator is told must be so, and what is so must be told, in time.
func TestSituations(t *testing.T) {
	t.Parallel()
	type want struct {
		status        Status
		after, before int // when it begins
		over          int // when it is over at the latest; 0: never
	}
	for name, test := range map[string]struct {
		script

		want []want
	}{
		"a steady group": {script: script{hours: 3, write: always(100), work: always(1000)}},
		"a slow topic: a record an hour": {script: script{hours: 12, write: func(s int) int {
			return during(0, 1, 1, 0)(s % hour)
		}, work: always(10)}},
		"an idle topic": {script: script{hours: 24, write: during(0, 10, 50, 0), work: always(100)}},
		"an idle topic, and a group that has left it": {script: script{hours: 24, write: during(0, 10, 50, 0), work: during(0, 60, 100, 0), who: membersWhile(during(0, 60, 1, 0))}},
		"a group that commits every minute":           {script: script{hours: 3, write: always(100), work: always(1000), commit: 60}},
		"a group that commits every 5 minutes":        {script: script{hours: 3, write: always(100), work: always(1000), commit: 300}},
		"a stopped group": {
			script: script{hours: 6, write: always(10), work: during(0, 3*hour, 100, 0), who: membersWhile(during(0, 3*hour, 1, 0))},
			want:   []want{{Stop, 3*hour + 9*minute, 3*hour + 11*minute, 0}},
		},
		"a stopped group on a slow topic": {
			script: script{
				hours: 12, write: func(s int) int { return during(0, 1, 1, 0)(s % hour) },
				work: during(0, 3*hour+minute, 10, 0), who: membersWhile(during(0, 3*hour+minute, 1, 0)),
			},
			want: []want{{Stop, 4*hour + 9*minute, 4*hour + 11*minute, 0}},
		},
		"a stopped group that begins again": {
			script: script{
				hours: 6, write: always(10), work: during(3*hour, 4*hour, 0, 100), who: membersWhile(during(3*hour, 4*hour, 0, 1)),
			},
			want: []want{{Stop, 3*hour + 9*minute, 3*hour + 11*minute, 4*hour + minute}},
		},
		"a stopped group that takes a while to begin again": {
			script: script{
				hours: 6, write: always(10), work: during(3*hour, 4*hour+5*minute, 0, 100), who: membersWhile(during(3*hour, 4*hour, 0, 1)),
			},
			want: []want{{Stop, 3*hour + 9*minute, 3*hour + 11*minute, 4*hour + minute}},
		},
		"two outages, a day apart": {
			script: script{
				hours: 36, write: always(1), work: func(s int) int { return during(3*hour, 4*hour, 0, 100)(s % (24 * hour)) },
				who: membersWhile(func(s int) int { return during(3*hour, 4*hour, 0, 1)(s % (24 * hour)) }),
			},
			want: []want{
				{Stop, 3*hour + 9*minute, 3*hour + 11*minute, 4*hour + minute},
				{Stop, 27*hour + 9*minute, 27*hour + 11*minute, 28*hour + minute},
			},
		},
		"stopped when the monitor begins": {
			script: script{hours: 6, write: always(10), work: always(0), who: membersWhile(always(0))},
			want:   []want{{Stop, 89 * minute, 91 * minute, 0}},
		},
		"a poison record": {
			script: script{hours: 6, write: always(10), work: during(3*hour, 6*hour, 0, 100)},
			want:   []want{{Stall, 3*hour + 9*minute, 3*hour + 11*minute, 0}},
		},
		"a poison record when the monitor begins": {
			script: script{hours: 2, write: always(10), work: always(0)},
			want:   []want{{Stall, 9 * minute, 11 * minute, 0}},
		},
		"a poison record, stepped over after an hour, and again": {
			script: script{hours: 6, write: always(10), work: func(s int) int { return during(2*hour, 3*hour, 0, 100)(s % (4 * hour)) }},
			want:   []want{{Stall, 2*hour + 9*minute, 2*hour + 11*minute, 3*hour + minute}},
		},
		"a poison record that is the last one": {
			script: script{hours: 6, write: during(3*hour, 3*hour+1, 1, 0), work: during(3*hour, 6*hour, 0, 100)},
			want:   []want{{Stall, 3*hour + 9*minute, 3*hour + 11*minute, 0}},
		},
		"a group that commits a file an hour": {
			script: script{hours: 12, write: always(10), work: always(1000), commit: hour},
			want: []want{
				{Stall, 10 * minute, hour - minute, hour + minute}, // it is not known yet
				{Stall, hour + 9*minute, hour + 11*minute, 2*hour + minute}, {Stall, 2*hour + 9*minute, 2*hour + 11*minute, 3*hour + minute},
			},
		},
		"a group that commits a file an hour, and hangs": {
			script: script{
				hours: 12, write: always(10), work: during(6*hour+minute, 12*hour, 0, 1000), commit: hour,
			},
			want: []want{
				{Stall, 9 * minute, 11 * minute, hour + minute},
				{Stall, hour + 9*minute, hour + 11*minute, 2*hour + minute}, {Stall, 2*hour + 9*minute, 2*hour + 11*minute, 3*hour + minute},
				{Stall, 8*hour - minute, 8*hour + minute, 0},
			},
		},
		"a member that hangs for an hour every two hours": {
			script: script{hours: 6, write: always(10), work: func(s int) int { return during(hour, 2*hour, 0, 20)(s % (2 * hour)) }},
			want: []want{
				{Stall, hour + 9*minute, hour + 11*minute, 2*hour + minute}, {Stall, 3*hour + 9*minute, 3*hour + 11*minute, 4*hour + minute},
				{Stall, 5*hour + 9*minute, 5*hour + 11*minute, 0},
			},
		},
		"a partition that no member has": {
			script: script{hours: 6, write: always(10), work: during(0, 3*hour, 100, 0), who: func(s int) readers {
				return map[bool]readers{true: aReader, false: noReader}[s < 3*hour]
			}},
			want: []want{{Stop, 3*hour + 9*minute, 3*hour + 11*minute, 0}},
		},
		"a topic that the group has given up": {script: script{hours: 6, write: always(10), work: during(0, 3*hour, 100, 0), who: func(s int) readers {
			return map[bool]readers{true: aReader, false: givenUp}[s < 3*hour]
		}}},
		"an hourly job of 3 minutes":  {script: script{hours: 12, write: always(10), work: hourly(3, 1000), who: membersWhile(hourly(3, 1))}},
		"an hourly job of 20 minutes": {script: script{hours: 12, write: always(10), work: hourly(20, 1000), who: membersWhile(hourly(20, 1))}},
		"an hourly job, first seen just before a run": {script: script{
			hours: 12, write: always(10), work: func(s int) int { return hourly(20, 1000)(s + 55*minute) },
			who: membersWhile(func(s int) int { return hourly(20, 1)(s + 55*minute) }),
		}},
		"an hourly job that does not come any more": {
			script: script{
				hours: 12, write: always(10), work: func(s int) int { return hourly(3, 1000)(s) * during(0, 6*hour, 1, 0)(s) },
				who: membersWhile(func(s int) int { return hourly(3, 1)(s) * during(0, 6*hour, 1, 0)(s) }),
			},
			want: []want{{Stop, 6 * hour, 7*hour + 5*minute, 0}},
		},
		"a rolling restart": {script: script{
			hours: 4, write: always(100), work: during(2*hour, 2*hour+9*minute, 0, 1000),
			who: membersWhile(func(s int) int {
				return map[bool]int{true: 0, false: 1}[s > 2*hour && s < 2*hour+9*minute && s%120 < 40]
			}),
		}},
		"a rebalance storm without progress": {
			script: script{hours: 4, write: always(100), work: during(2*hour, 3*hour, 0, 1000)},
			want:   []want{{Stall, 2*hour + 9*minute, 2*hour + 11*minute, 3*hour + minute}},
		},
		"a crash loop": {
			script: script{
				hours: 4, write: always(100), work: during(2*hour, 4*hour, 0, 1000),
				who: membersWhile(func(s int) int {
					return map[bool]int{true: 0, false: 1}[s > 2*hour && s%120 < 60]
				}),
			},
			want: nil, // looked at below
		},
		"a group that falls behind": {
			script: script{hours: 4, write: always(100), work: during(2*hour, 4*hour, 80, 1000)},
			want:   []want{{Warn, 2*hour + 5*minute, 2*hour + 20*minute, 0}},
		},
		"a group that falls behind and commits every 3 minutes": {
			script: script{hours: 4, write: always(100), work: during(2*hour, 4*hour, 50, 1000), commit: 180},
			want:   []want{{Warn, 2*hour + 5*minute, 2*hour + 20*minute, 0}},
		},
		"a burst that takes half an hour to work off": {script: script{hours: 4, write: during(2*hour, 2*hour+30, 10_000, 50), work: always(250)}},
		"a constant backlog that goes up and down": {script: script{hours: 6, write: func(s int) int {
			return 90 + (s*7919)%21
		}, work: func(s int) int {
			if s < 600 {
				return 0
			}
			return 90 + (s*104729)%21
		}}},
		"a constant backlog that hardly grows":        {script: script{hours: 6, write: during(0, 1, 120_000, 1_000), work: always(999)}},
		"many short bursts":                           {script: script{hours: 6, write: func(s int) int { return during(0, 20, 500, 0)(s % 300) }, work: always(100)}},
		"a new group that begins at the first record": {script: script{hours: 2, write: during(0, 1, 1_000_000, 100), work: always(1_000)}},
		"a group with one commit": {
			script: script{hours: 3, write: always(1), work: during(0, 10, 5, 0), who: membersWhile(during(0, 10, 1, 0))},
			want:   []want{{Stop, 89 * minute, 91 * minute, 0}},
		},
		"a seek to the beginning": {
			script: script{hours: 4, write: always(10), work: always(100), move: func(s int, p int64) int64 {
				return map[bool]int64{true: 0, false: p}[s == 2*hour]
			}},
			want: []want{{Rewind, 2 * hour, 2*hour + 20, 2*hour + 11*minute}},
		},
		"a topic that grows, and a group that is never more than 40 seconds behind": {script: script{
			hours: 2, write: func(s int) int { return 100 + s/5 }, work: always(1), move: func(s int, _ int64) (written int64) {
				for i := range max(s-39, 0) {
					written += int64(100 + i/5)
				}
				return written
			},
		}},
		"a seek to the end": {script: script{hours: 4, write: always(100), work: during(0, 2*hour, 90, 100), allowed: 1_000_000, move: func(s int, p int64) int64 {
			return map[bool]int64{true: int64(s) * 100, false: p}[s == 2*hour]
		}}},
		"a monitor that was blind for an hour": {script: script{
			hours: 6, write: always(100), work: always(1000), blind: func(s int) bool { return s > 2*hour && s < 3*hour },
		}},
		"a cluster that nobody could see or use for an hour": {script: script{
			hours: 6, write: during(2*hour-minute, 3*hour, 0, 100), work: during(2*hour-minute, 3*hour+minute, 0, 1000), commit: 60,
			blind: func(s int) bool { return s > 2*hour && s < 3*hour },
		}},
		"a poison record that comes while the monitor is blind": {
			script: script{
				hours: 6, write: always(100), work: during(2*hour-minute, 6*hour, 0, 1000), blind: func(s int) bool { return s > 2*hour && s < 3*hour },
			},
			want: []want{{Stall, 3*hour + 8*minute, 3*hour + 11*minute, 0}},
		},
		"retention that eats a stopped group's records": {
			script: script{
				hours: 6, write: always(10), work: during(0, 3*hour, 100, 0), who: membersWhile(during(0, 3*hour, 1, 0)),
				start: func(s int) int64 { return int64(max(s-hour, 0)) * 10 },
			},
			want: []want{{Stop, 3*hour + 9*minute, 3*hour + 11*minute, 0}},
		},
		"a lag that is allowed": {script: script{hours: 4, write: always(100), work: during(2*hour, 3*hour, 0, 1000), allowed: 1_000_000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.play()
			if name == "a crash loop" {
				crashLoop(t, got)
				return
			}
			ok := len(got) == len(test.want)
			for i := range min(len(got), len(test.want)) {
				g, w := got[i], test.want[i]
				end := int(test.hours * hour)
				ok = ok && g.status == w.status && g.from >= w.after && g.from <= w.before &&
					(w.over == 0 && g.to >= end-10 || w.over != 0 && g.to <= w.over)
			}
			if !ok {
				t.Errorf("told %s\nwant %s", list(got), fmt.Sprint(test.want))
			}
		})
	}
}

// A crash loop is told all the time, as one or the other.
func crashLoop(t *testing.T, got []told) {
	t.Helper()
	if len(got) == 0 || got[0].from > 2*hour+12*minute || got[len(got)-1].to < 4*hour-20 {
		t.Fatalf("told %s", list(got))
	}
	for i := range got[1:] {
		if got[i+1].from != got[i].to+10 {
			t.Errorf("nothing is told between %s", list(got[i:i+2]))
		}
	}
}

func list(all []told) (text string) {
	for _, g := range all {
		text += fmt.Sprintf("%s %v–%v; ", g.status, time.Duration(g.from)*time.Second, time.Duration(g.to)*time.Second)
	}
	return text
}
