package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

const (
	doMember = "member"

	slowKey  = "slow" // a record that takes 3 s; the others take no time
	slowTime = 3 * time.Second

	reportedGap = 5 * time.Millisecond // shorter ones are usual
)

// event is what a member tells on standard output, one JSON object a line.
type event struct {
	What      string    `json:"what"` // assigned, released, or gap
	Partition int32     `json:"partition"`
	From      time.Time `json:"from"` // of a gap
	At        time.Time `json:"at"`
}

// member consumes until it is told to stop, and tells of its partitions, and of gaps between the records of one: the time without a record
// in which there was one to handle, so that a pause of the producer is none.
func member(ctx context.Context, t task) (values, error) {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	last := map[int32]time.Time{} // no entry: none in this assignment
	var failed error
	tell := func(e event) {
		if err := out.Encode(e); err != nil {
			failed = err
		}
	}
	_, stop, err := t.consumer(ctx, func(c *sluice.Config, _ *sluice.Policy) {
		c.GroupProtocol = t.Protocol
		c.Events.Assigned = func(i sluice.AssignedInfo) {
			mu.Lock()
			defer mu.Unlock()
			delete(last, i.Partition)
			tell(event{What: "assigned", Partition: i.Partition, At: time.Now()})
		}
		c.Events.Released = func(i sluice.ReleasedInfo) {
			mu.Lock()
			defer mu.Unlock()
			tell(event{What: "released", Partition: i.Partition, At: time.Now()})
		}
	}, func(ctx context.Context, m sluice.Message[[]byte]) error {
		if string(m.Key()) == slowKey {
			return pause(ctx, slowTime)
		}
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		from, ok := last[m.Partition()]
		if written := m.Record.Timestamp; written.After(from) {
			from = written
		}
		if ok && now.Sub(from) >= reportedGap {
			tell(event{What: "gap", Partition: m.Partition(), From: from, At: now})
		}
		last[m.Partition()] = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	<-ctx.Done()
	err = stop()
	mu.Lock()
	defer mu.Unlock()
	return values{}, errors.Join(err, failed)
}
