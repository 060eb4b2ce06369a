package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

const (
	doBackoff = "backoff"

	backoff  = 100 * time.Millisecond
	lateP50  = "late, ms: p50"
	lateP99  = "late, ms: p99"
	lateMost = "late, ms: most"
)

// backoffJob has one record in a thousand fail once, among as many as the process can handle.
func backoffJob() job {
	name := "sluice"
	t := task{Do: doBackoff, Ordering: sluice.ByKey, Workers: noOpWorkers, span: span{Records: manyRecords}}
	return job{
		name: "backoff", rounds: fixedRounds, arms: []arm{reads(name, manyParts, manyRecords, t)},
		figures: []figure{single("a retry after 100 ms is "+lateP99, lateP99, name).most(20)},
	}
}

var errOnce = errors.New("the first attempt fails")

func backingOff(ctx context.Context, t task) (values, error) {
	type place struct {
		partition int32
		offset    int64
	}
	var mu sync.Mutex
	failed := map[place]time.Time{}
	var late []time.Duration
	app, stop, err := t.consumer(ctx, nil, func(_ context.Context, m sluice.Message[[]byte]) error {
		if m.Offset()%1000 != 0 {
			return nil
		}
		now, at := time.Now(), place{m.Partition(), m.Offset()}
		mu.Lock()
		defer mu.Unlock()
		if m.Attempt == 1 {
			failed[at] = now
			return sluice.RetryAfter(errOnce, backoff)
		}
		late = append(late, now.Sub(failed[at])-backoff)
		return nil
	})
	if err != nil {
		return nil, err
	}
	v, err := t.measure(ctx, func() int64 { return app.Stats().Finished })
	if err = errors.Join(err, stop()); err != nil {
		return nil, err
	}
	if len(late) == 0 {
		return nil, errors.New("nothing was retried")
	}
	slices.Sort(late)
	at := func(i int) float64 { return float64(late[i].Microseconds()) / 1000 }
	v[lateP50], v[lateP99], v[lateMost] = at(len(late)/2), at(len(late)*99/100), at(len(late)-1)
	return v, nil
}
