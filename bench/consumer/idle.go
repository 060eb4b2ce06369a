package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/bench/internal/measure"
)

const (
	doIdle = "idle"

	idleParts  = 1000
	cpuPercent = "CPU, % of a core"
)

// idleJob owns many partitions that nothing is written to.
func idleJob() job {
	name := "sluice"
	t := task{Do: doIdle, Ordering: sluice.ByPartition, span: span{WarmUp: 10 * time.Second, Window: 20 * time.Second}}
	return job{
		name: "idle", rounds: fixedRounds,
		arms: []arm{{name, func(ctx context.Context, s *stage) (values, error) {
			topic := "bench-idle"
			if !s.filled[topic] {
				if err := s.newTopic(ctx, topic, idleParts, nil); err != nil {
					return nil, err
				}
				s.filled[topic] = true
			}
			t.Topic, t.Group = topic, s.name("group")
			return s.do(ctx, t)
		}}},
		figures: []figure{single("sluice: "+cpuPercent, cpuPercent, name).most(1), single("sluice: "+rss, rss, name).most(64)},
	}
}

func idle(ctx context.Context, t task) (values, error) {
	var assigned atomic.Int64
	_, stop, err := t.consumer(ctx, func(c *sluice.Config, _ *sluice.Policy) {
		c.Fetch.MaxWait = 5 * time.Second
		c.Events.Assigned = func(sluice.AssignedInfo) { assigned.Add(1) }
	}, func(context.Context, sluice.Message[[]byte]) error { return errors.New("the topic is empty") })
	if err != nil {
		return nil, err
	}
	for assigned.Load() < idleParts {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	if err := pause(ctx, t.WarmUp); err != nil {
		return nil, errors.Join(err, stop())
	}
	cpu, began := measure.CPUTime(), time.Now()
	if err := pause(ctx, t.Window); err != nil {
		return nil, errors.Join(err, stop())
	}
	return values{cpuPercent: 100 * (measure.CPUTime() - cpu).Seconds() / time.Since(began).Seconds()}, stop()
}
