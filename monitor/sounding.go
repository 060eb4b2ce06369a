package monitor

import (
	"context"
	"slices"
	"time"
)

const (
	soundingsAPass = 5_000 // the logs that are sounded at most
	soundingPasses = 6     // in a round: with each, more is known of when a record was written
	offsetsSounded = 8     // of a log in a round: many groups may stand at as many places
)

// sought is the first record that a group has not handled, on a log where its time is not known well enough.
type sought struct {
	log    *log
	offset int64
	tries  int
}

// sound asks the logs of groups that lag what their end was at times in the past, so that it is known when the first record that such a
// group has not handled was written. Kafka takes one time a log in a request; with each pass more is known.
func (r *round) sound(ctx context.Context) {
	all := r.seek()
	for range 1 + soundingPasses { // a log is asked first whether its records have times
		if ctx.Err() != nil {
			return
		}
		r.step(ctx, r.soundings(all)...)
	}
}

// seek finds what is to be sounded for: a few offsets a log.
func (r *round) seek() (all []*sought) {
	of := map[*log][]int64{}
	for id, a := range r.groups {
		for _, c := range a.commits {
			l := r.book.log(c.place)
			if l == nil || l.end < 0 || c.offset < 0 {
				continue
			}
			oldest := max(c.offset, l.start)
			if w := r.book.known(id, c.place); w != nil {
				oldest = w.oldest(l, c.offset)
			}
			if oldest < l.readable(c.offset) && len(of[l]) < offsetsSounded && !slices.Contains(of[l], oldest) {
				of[l] = append(of[l], oldest)
				all = append(all, &sought{log: l, offset: oldest})
			}
		}
	}
	return all
}

// soundings are the questions of one pass.
func (r *round) soundings(sought []*sought) (all []question) {
	at := map[*log]time.Time{}
	var logs []*log
	for _, s := range sought {
		if _, taken := at[s.log]; taken || len(logs) == soundingsAPass {
			continue
		}
		w, ok := s.log.history.written(s.offset)
		if !ok || s.offset < s.log.untimed {
			continue
		}
		t, ok := soundingFor(w, r.at, s.tries)
		switch {
		case !ok:
			continue
		case !s.log.timed:
			t = time.Unix(0, 0)
		default:
			s.tries++
		}
		at[s.log] = t.Truncate(time.Millisecond) // Kafka knows no less
		logs = append(logs, s.log)
	}
	slices.SortFunc(logs, func(a, b *log) int { return byPlace(a.place, b.place) })
	for _, p := range portions(logs, logsARequest, leader) {
		all = append(all, r.listOffsets(p, readUncommitted, func(l *log) int64 { return at[l].UnixMilli() }, func(l *log, a offsetAnswer) {
			switch {
			case a.err != nil:
				r.problem("soundings", a.err)
			case !l.timed:
				l.dated(a.offset)
			case a.offset < 0:
				l.history.soundEnd(at[l])
			default:
				l.history.sound(at[l], time.UnixMilli(a.timestamp), a.offset)
			}
		}))
	}
	return all
}
