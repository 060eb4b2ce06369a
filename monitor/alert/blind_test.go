package alert

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-go/sluice/monitor"
)

// frozen is a snapshot of a round in which no broker answered: all is as it was before, and looks as bad as can be.
func frozen() monitor.Snapshot {
	g := doing("billing", monitor.Stall)
	g.Err = errDown
	g.Partitions[0].TimeLag = monitor.TimeLag{Known: true, Behind: time.Hour}
	g.Partitions[0].Owner, g.Partitions[0].Drain, g.Partitions[0].Commit = 0, -1, 30
	return monitor.Snapshot{
		Groups:   []monitor.Group{g},
		Topics:   []monitor.Topic{{Name: "orders", Partitions: []monitor.Log{{Leader: -1, Replicas: []int32{1, 2}, InSync: []int32{1}, Stable: 1, End: 2}}}},
		Problems: []monitor.Problem{{What: "metadata", Err: errDown}},
	}
}

// A monitor that sees nothing tells that, and nothing else.
func TestABlindMonitorInventsNothing(t *testing.T) {
	t.Parallel()
	for name, blind := range map[string]monitor.Snapshot{
		"no broker answers": frozen(),
		"a group's commits are not known": {
			Groups: frozen().Groups, Problems: []monitor.Problem{{What: "commits", Err: errDown}},
		},
		"a row is not known": {
			Groups: []monitor.Group{func() monitor.Group {
				g := frozen().Groups[0]
				g.Err, g.Partitions[0].Err = nil, errDown
				return g
			}()},
			Problems: []monitor.Problem{{What: "log ends", Err: errDown}},
		},
		"a topic is not known": {
			Topics: []monitor.Topic{{
				Name: "orders", Err: errDown, Partitions: []monitor.Log{{Leader: -1, Replicas: []int32{1, 2}, Err: errDown, Stable: -1, End: -1}},
			}},
			Problems: []monitor.Problem{{What: "partitions", Err: errDown}},
		},
		"a partition is not named": {
			Topics: []monitor.Topic{{Name: "orders", Partitions: []monitor.Log{{
				Leader: -1, Replicas: []int32{1, 2}, Err: kerr.UnknownTopicOrPartition, Stable: -1, End: -1,
			}}}},
			Problems: []monitor.Problem{{What: "partitions", Err: errDown}},
		},
		"a log's end is not known": {
			Topics: []monitor.Topic{{Name: "orders", Partitions: []monitor.Log{{
				Leader: 1, Err: errDown, Stable: -1, End: -1, OpenSince: time.Unix(0, 0),
			}}}},
			Problems: []monitor.Problem{{What: "log ends", Err: errDown}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{began: time.Now()}
				own := Rule{Name: "Own", Find: func(*monitor.Snapshot) ([]Finding, error) { return []Finding{{Group: "billing"}}, nil }}
				where := Rule{Name: "Where", Find: Where("lag", func(*monitor.Group, *monitor.Partition) (bool, error) { return true, nil })}
				rules := append(Rules(Objective{TimeLag: time.Minute}), where)
				if len(blind.Groups) > 0 && blind.Groups[0].Err != nil {
					rules = append(rules, own)
				}
				s := set(t, Config{Rules: rules, Receivers: receiver(p)})
				s.look(time.Hour, blind)
				p.expect(t, "2m0s firing MonitorBlind/")
				if got := s.states(); len(got) != 1 {
					t.Errorf("there are %v", got)
				}
			})
		})
	}
}

// Where the members of a group are not known, nothing is said that depends on them; what the commits say is.
func TestAGroupWhoseMembersAreNotKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: slices.DeleteFunc(Rules(), func(r Rule) bool { return r.KeepFiring > time.Hour-1 }), Receivers: receiver(p)})
		stopped := doing("billing", monitor.Stop)
		s.show(time.Minute, stopped)
		for range 60 {
			s.round++
			g := doing("billing", monitor.Stall)
			g.AsOf, g.Err = time.Now(), errDown
			g.Partitions[0].Start, g.Partitions[0].Commit, g.Partitions[0].Drain = 9, 10, -1
			s.Observe(&monitor.Snapshot{Round: s.round, At: time.Now(), Groups: []monitor.Group{g}})
			time.Sleep(10 * time.Second)
		}
		p.expect(t, "0s firing GroupStopped/billing", "6m0s firing RetentionNear/billing")
	})
}

// Time in which nobody could see whether something is so counts neither for how long it was, nor for how long it was not.
func TestBlindTimeDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(time.Minute, time.Minute), Receivers: receiver(p)})
		unseen := bad
		unseen.Err = errDown
		s.show(40*time.Second, bad) // the last look is at 30s
		s.show(time.Hour, unseen)
		s.show(20*time.Second, bad)
		p.expect(t)
		s.show(20*time.Second, bad)
		p.expect(t, "1h1m10s firing Stalled/billing")
		s.show(time.Hour, unseen)
		s.show(50*time.Second, good)
		p.expect(t, "1h1m10s firing Stalled/billing")
		s.show(20*time.Second, good)
		p.expect(t, "1h1m10s firing Stalled/billing", "2h2m20s resolved Stalled/billing")
	})
}

// Nor does time without any snapshot, as when the process was frozen.
func TestTimeWithoutASnapshotDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		only := receiver(p)
		only[0].Match = []Matcher{{LabelName, "Stalled"}} // and not MonitorStuck
		s := set(t, Config{Rules: stalled(30*time.Minute, 10*time.Minute), Receivers: only})
		s.show(10*time.Second, bad) // a single look
		time.Sleep(time.Hour)
		s.show(27*time.Minute, bad)
		p.expect(t)
		s.show(2*time.Minute, bad)
		p.expect(t, "1h28m10s firing Stalled/billing") // two minutes of the hour count
		time.Sleep(time.Hour)
		s.show(7*time.Minute, good)
		p.expect(t, "1h28m10s firing Stalled/billing")
		s.show(2*time.Minute, good)
		p.expect(t, "1h28m10s firing Stalled/billing", "2h37m10s resolved Stalled/billing")
	})
}

// Rounds that are always further apart than that have alerts fire later, and not never.
func TestRoundsThatAreFarApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		only := receiver(p)
		only[0].Match = []Matcher{{LabelName, "Stalled"}}
		s := set(t, Config{Rules: stalled(10*time.Minute, -1), Receivers: only})
		for range 10 {
			s.show(10*time.Second, bad)
			time.Sleep(3*time.Minute - 10*time.Second)
		}
		p.expect(t, "15m0s firing Stalled/billing")
	})
}

// A row that could not be seen for a while has not lost its records again.
func TestRecordsLostBeforeABlindTime(t *testing.T) {
	t.Parallel()
	find := recordsLost()
	lost := func(err error) int {
		found, findErr := find(row(func(p *monitor.Partition) { p.Lost, p.Err = 5, err }))
		if findErr != nil {
			t.Error(findErr)
		}
		return len(found)
	}
	if n := []int{lost(nil), lost(errDown), lost(nil)}; !slices.Equal(n, []int{1, 0, 0}) {
		t.Errorf("found %v", n)
	}
}

// A topic that is gone ends what was so on it, although the group's commits for it stay for days.
func TestATopicThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p)})
		s.show(time.Minute, bad)
		gone := doing("billing", monitor.Unknown)
		gone.Partitions[0].Err = monitor.ErrNoPartition
		s.show(time.Minute, gone)
		p.expect(t, "0s firing Stalled/billing", "1m0s resolved Stalled/billing")
	})
}

// After a restart only what was seen to be well, or to be gone, is over.
func TestAfterARestartUnseenIsNotOver(t *testing.T) {
	t.Parallel()
	never := monitor.Group{ID: "billing", Err: errDown} // listed, and its commits not known yet
	for name, unseen := range map[string]monitor.Snapshot{
		"a broker lists nothing": {Problems: []monitor.Problem{{What: "groups", Err: errDown}}},
		"the offsets' topic is not all there": {
			Topics:   []monitor.Topic{{Name: "__consumer_offsets", Partitions: []monitor.Log{{Leader: -1, Err: kerr.LeaderNotAvailable}}}},
			Problems: []monitor.Problem{{What: "partitions", Err: kerr.LeaderNotAvailable}},
		},
		"its commits are not known": {Groups: []monitor.Group{never}, Problems: []monitor.Problem{{What: "commits", Err: errDown}}},
		"no broker answers":         {Problems: []monitor.Problem{{What: "metadata", Err: errDown}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{began: time.Now()}
				cfg := Config{Rules: stalled(0, time.Minute), StateFile: filepath.Join(t.TempDir(), "alerts.json"), Receivers: receiver(p)}
				s := set(t, cfg)
				s.show(time.Minute, bad)
				s.end()
				time.Sleep(time.Hour)
				s = set(t, cfg)
				s.look(time.Hour, unseen)
				p.expect(t, "0s firing Stalled/billing")
				s.show(50 * time.Second) // it is gone, in rounds that saw all
				p.expect(t, "0s firing Stalled/billing")
				s.show(20 * time.Second)
				p.expect(t, "0s firing Stalled/billing", "2h2m0s resolved Stalled/billing")
			})
		})
	}
}
