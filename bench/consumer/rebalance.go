package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

const (
	groupParts   = 12
	groupMembers = 3
	settleTime   = time.Second // without a change
	pacedEvery   = time.Millisecond
)

// rebalanceJob has a fourth member join and leave, while 12 partitions get 1,000 records a second each.
func rebalanceJob() job {
	j := job{name: "rebalance", rounds: fixedRounds}
	for _, p := range []struct {
		name     string
		protocol sluice.GroupProtocol
	}{{"cooperative", sluice.ClassicProtocol}, {"KIP-848", sluice.ConsumerProtocol}} {
		j.arms = append(j.arms, arm{p.name, func(ctx context.Context, s *stage) (values, error) { return s.rebalance(ctx, p.protocol) }})
		for _, phase := range []string{"quiet", "join", "leave", "join, slow records", "leave, slow records"} {
			j.figures = append(j.figures, single(p.name+", longest gap of a staying partition, ms: "+phase, phase, p.name).most(50))
		}
	}
	return j
}

// rebalance returns the longest gap of a partition that stays, in milliseconds, by what happens meanwhile.
func (s *stage) rebalance(ctx context.Context, protocol sluice.GroupProtocol) (values, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	g := &group{stage: s, task: task{
		Do: doMember, Topic: s.name("topic"), Group: s.name("group"), Ordering: sluice.ByKey, Workers: noOpWorkers, Protocol: protocol,
	}}
	appended := map[string]*string{"message.timestamp.type": new("LogAppendTime")} // a record is there when the broker has it
	if err := s.newTopic(ctx, g.task.Topic, groupParts, appended); err != nil {
		return nil, err
	}
	var slow atomic.Bool
	producing, stopProducing := context.WithCancel(ctx)
	var producer sync.WaitGroup
	var produceErr error
	producer.Go(func() { produceErr = s.pace(producing, g.task.Topic, &slow) })
	v, err := g.play(ctx, &slow)
	stopProducing()
	producer.Wait()
	return v, errors.Join(err, produceErr, g.stop())
}

func (g *group) play(ctx context.Context, slow *atomic.Bool) (values, error) {
	for range groupMembers {
		if _, err := g.join(ctx); err != nil {
			return nil, err
		}
	}
	if err := g.settle(ctx, groupMembers); err != nil {
		return nil, err
	}
	v := values{}
	began := time.Now()
	if err := pause(ctx, 3*time.Second); err != nil {
		return nil, err
	}
	v["quiet"] = g.longestGap(began, time.Now())
	for _, suffix := range []string{"", ", slow records"} {
		if suffix != "" {
			slow.Store(true)
			if err := pause(ctx, slowTime+time.Second); err != nil { // each partition has one in work
				return nil, err
			}
		}
		began := time.Now()
		fourth, err := g.join(ctx)
		if err == nil {
			err = g.settle(ctx, groupMembers+1)
		}
		if err != nil {
			return nil, err
		}
		v["join"+suffix] = g.longestGap(began, time.Now())
		began = time.Now()
		if err := fourth.leave(); err != nil {
			return nil, err
		}
		if err := g.settle(ctx, groupMembers); err != nil {
			return nil, err
		}
		v["leave"+suffix] = g.longestGap(began, time.Now())
	}
	return v, nil
}

// pace writes a record to every partition each millisecond. Where slow is set, every three-thousandth of a partition takes 3 s.
func (s *stage) pace(ctx context.Context, topic string, slow *atomic.Bool) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.seeds...), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	value := make([]byte, valueBytes)
	var failed atomic.Pointer[error]
	began := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		if ahead := time.Duration(n)*pacedEvery - time.Since(began); ahead > 0 {
			time.Sleep(ahead)
		}
		for p := range int32(groupParts) {
			key := "fast"
			if slow.Load() && n%int(slowTime/pacedEvery) == int(p)*100 {
				key = slowKey
			}
			client.Produce(ctx, &kgo.Record{Partition: p, Key: []byte(key), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil && ctx.Err() == nil {
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// group is the members of a group, each in a process of its own, and what they told.
type group struct {
	*stage
	task task

	members []*process

	mu     sync.Mutex
	events []seen
}

type seen struct {
	event
	by *process
}

// process is one member.
type process struct {
	cmd  *exec.Cmd
	read chan struct{} // closed when it has told everything
	left bool
}

// join starts a member.
func (g *group) join(ctx context.Context) (*process, error) {
	cmd, err := g.command(ctx, g.task)
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, read: make(chan struct{})}
	g.members = append(g.members, p)
	go func() {
		defer close(p.read)
		g.listen(p, out)
	}()
	return p, nil
}

func (g *group) listen(p *process, out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.What != "" {
			g.mu.Lock()
			g.events = append(g.events, seen{e, p})
			g.mu.Unlock()
		}
	}
}

// leave has a member drain and leave.
func (p *process) leave() error {
	p.left = true
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.read
	return errors.Join(err, p.cmd.Wait())
}

func (g *group) stop() error {
	var errs []error
	for _, p := range g.members {
		if !p.left {
			errs = append(errs, p.leave())
		}
	}
	return errors.Join(errs...)
}

// settle waits until every partition has an owner, every one of so many members has its share, and nothing has changed for a while.
func (g *group) settle(ctx context.Context, members int) error {
	for {
		owners, changed := g.owners()
		count := map[*process]int{}
		for _, p := range owners {
			count[p]++
		}
		if len(owners) == groupParts && len(count) == members && time.Since(changed) > settleTime {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d partitions are owned, by %d of %d members: %w", len(owners), groupParts, len(count), members, err)
		}
	}
}

// owners is who has which partition, and when that changed.
func (g *group) owners() (map[int32]*process, time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	owners, changed := map[int32]*process{}, time.Time{}
	for _, e := range g.events {
		switch {
		case e.What == "assigned":
			owners[e.Partition] = e.by
		case e.What == "released" && owners[e.Partition] == e.by:
			delete(owners, e.Partition)
		default:
			continue
		}
		changed = e.At
	}
	return owners, changed
}

// longestGap is that of the partitions that kept their owner all the time, in milliseconds.
func (g *group) longestGap(from, to time.Time) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	moved := map[int32]bool{}
	for _, e := range g.events {
		if e.What != "gap" && e.At.After(from) && e.At.Before(to) {
			moved[e.Partition] = true
		}
	}
	longest := reportedGap // at most, where none was told
	for _, e := range g.events {
		if e.What == "gap" && !moved[e.Partition] && e.At.After(from) && e.From.Before(to) {
			longest = max(longest, e.At.Sub(e.From))
		}
	}
	return float64(longest.Microseconds()) / 1000
}
