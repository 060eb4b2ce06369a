package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const settleTimeout = 75 * time.Second // for lag 0 after the last fault, and again after the last record

// sample is how far behind each job is at one moment.
type sample struct {
	At   time.Time        `json:"at"`
	Ends int64            `json:"ends"` // of all partitions together
	Lag  map[string]int64 `json:"lag"`
}

// look samples the lag once a second, and starts members again that ended by themselves.
func (w *world) look(ctx context.Context) {
	for idle(ctx, time.Second) {
		for _, f := range w.fleets {
			if err := f.revive(); err != nil {
				w.sayf("%v", err)
			}
		}
		ends, err := w.ends(ctx)
		if err != nil {
			continue // brokers are down
		}
		s := sample{At: time.Now(), Lag: make(map[string]int64)}
		for _, end := range ends {
			s.Ends += end
		}
		for _, f := range w.fleets {
			if behind, err := w.behind(ctx, f, ends); err == nil {
				s.Lag[f.job.Name] = behind
			}
		}
		w.mu.Lock()
		w.samples = append(w.samples, s)
		w.mu.Unlock()
	}
}

// ends are the offsets at which the partitions end now.
func (w *world) ends(ctx context.Context) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	listed, err := w.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

// behind is how many records before these ends a job's group has not committed.
func (w *world) behind(ctx context.Context, f *fleet, ends map[int32]int64) (int64, error) {
	committed, err := w.committed(ctx, f)
	if err != nil {
		return 0, err
	}
	var behind int64
	for partition, end := range ends {
		behind += max(0, end-committed[partition])
	}
	return behind, nil
}

// committed are the offsets that a job's group has committed.
func (w *world) committed(ctx context.Context, f *fleet) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answers, err := w.admin.FetchOffsets(ctx, f.job.Name)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64)
	for partition, answer := range answers[topic] {
		offsets[partition] = answer.At
	}
	return offsets, nil
}

// await waits until every job that has to be clean has committed all that there is now, and says how long each took since a moment.
func (w *world) await(ctx context.Context, since time.Time) (took map[string]time.Duration, behind []string) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var ends map[int32]int64
	for ends == nil && idle(ctx, 50*time.Millisecond) {
		ends, _ = w.ends(ctx) // asked again
	}
	took = make(map[string]time.Duration)
	left := make(map[string]int64)
	for _, f := range w.fleets {
		if !f.job.Control { // they may never get there
			left[f.job.Name] = -1
		}
	}
	for len(left) > 0 && idle(ctx, 100*time.Millisecond) {
		for _, f := range w.fleets {
			name := f.job.Name
			if _, ok := left[name]; !ok {
				continue
			}
			now, err := w.behind(ctx, f, ends)
			if err != nil {
				continue // asked again
			}
			if left[name] = now; now == 0 {
				took[name] = time.Since(since)
				delete(left, name)
			}
		}
	}
	for name, now := range left {
		behind = append(behind, fmt.Sprintf("%s is %d records behind after %.0f s", name, now, time.Since(since).Seconds()))
	}
	return took, behind
}
