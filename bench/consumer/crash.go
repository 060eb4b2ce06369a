package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice"
)

const (
	doStuck   = "stuck"
	doRestart = "restart"

	crashRecords = 200_000
	stuckOffset  = 0
	ranAgain     = "finished records that ran again"
)

// crashJob kills a consumer whose first record is stuck when all the others are finished, and starts it again. The commits of the second
// arm tell no more than how far the work is done without a gap, as those of most consumers do.
func crashJob() job {
	t := task{Ordering: sluice.Unordered, Workers: noOpWorkers, Commit: 500 * time.Millisecond}
	contiguous := t
	contiguous.CommitMetadata = -1
	return job{
		name: "crash", rounds: fixedRounds,
		arms: []arm{
			{"sluice", func(ctx context.Context, s *stage) (values, error) { return s.crash(ctx, t) }},
			{"contiguous commits", func(ctx context.Context, s *stage) (values, error) { return s.crash(ctx, contiguous) }},
		},
		figures: []figure{
			single("sluice: "+ranAgain, ranAgain, "sluice").most(1000),
			single("contiguous commits: "+ranAgain, ranAgain, "contiguous commits"),
		},
	}
}

func (s *stage) crash(ctx context.Context, t task) (values, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	topic, err := s.backlog(ctx, 1, crashRecords)
	if err != nil {
		return nil, err
	}
	t.Topic, t.Group = topic, s.name("group")
	if err := s.crashed(ctx, t); err != nil {
		return nil, err
	}
	t.Do = doRestart
	v, err := s.do(ctx, t)
	if err != nil {
		return nil, err
	}
	sum, err := s.committed(ctx, t.Group, topic)
	if err == nil && sum != crashRecords {
		err = fmt.Errorf("%d records were committed, want %d", sum, crashRecords)
	}
	return v, err
}

// crashed runs the task until all but one record are finished, and kills it a second later.
func (s *stage) crashed(ctx context.Context, t task) error {
	t.Do = doStuck
	cmd, err := s.command(ctx, t)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = pause(ctx, time.Second)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	return err
}

// crashConsumer has short sessions, as the group waits for the end of that of the process that was killed.
func (t task) crashConsumer(ctx context.Context, handle handler) (*sluice.App, func() error, error) {
	return t.consumer(ctx, func(c *sluice.Config, p *sluice.Policy) {
		c.SessionTimeout = 3 * time.Second
		c.CommitMetadata = t.CommitMetadata
		p.Commit = sluice.Every(t.Commit)
	}, handle)
}

// stuck tells on standard output when all records but one are finished, and then waits to be killed.
func stuck(ctx context.Context, t task) (values, error) {
	app, stop, err := t.crashConsumer(ctx, func(ctx context.Context, m sluice.Message[[]byte]) error {
		if m.Offset() == stuckOffset {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for app.Stats().Finished < crashRecords-1 {
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	fmt.Fprintln(os.Stdout, "finished")
	<-ctx.Done()
	return nil, errors.Join(errors.New("not killed"), stop())
}

// restart counts the records that come although they were finished.
func restart(ctx context.Context, t task) (values, error) {
	var again, missing atomic.Int64
	missing.Store(1)
	app, stop, err := t.crashConsumer(ctx, func(_ context.Context, m sluice.Message[[]byte]) error {
		if m.Offset() == stuckOffset {
			missing.Store(0)
		} else {
			again.Add(1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for {
		if ps := app.Snapshot().Partitions; len(ps) == 1 && ps[0].Frontier == crashRecords {
			break
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	if missing.Load() > 0 {
		return nil, errors.Join(errors.New("the record that was stuck is lost"), stop())
	}
	return values{ranAgain: float64(again.Load()), "seconds until all was finished": time.Since(began).Seconds()}, stop()
}
