package sqlsinktest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

// event is the value of the messages.
type event struct {
	ID     int64
	Note   any // string, or nil
	N      int64
	Delete bool
	Skip   bool
	Refuse bool // Row returns an error
	Panic  bool // Row panics
}

func makeRow(m sluice.Message[event]) (sqlsink.Row, error) {
	v := m.Value
	switch {
	case v.Panic:
		panic("told to") //nolint:forbidigo // what a user's code may do
	case v.Refuse:
		return sqlsink.Row{}, fmt.Errorf("told to refuse")
	case v.Skip:
		return sqlsink.Skip(), nil
	case v.Delete:
		return sqlsink.Delete(v.ID), nil
	}
	return sqlsink.Put(v.ID, v.Note, v.N), nil
}

// inserts is a log of n records with ids of their own: each must be there exactly once, and twice is a duplicate key.
func inserts(n int) (log []event, want []string) {
	for i := range n {
		log = append(log, event{ID: int64(i), Note: fmt.Sprint("r", i), N: int64(i)})
		want = append(want, fmt.Sprintf("%d=r%d/%d", i, i, i))
	}
	return log, want
}

// patience is how long a case waits for what must come, or for the next step on the way to it.
const patience = 20 * time.Second

// assignment is a claimed partition. It is the engine, as far as a sink knows one.
type assignment struct {
	*process
	request sluice.ClaimRequest
	claim   sluice.Claim
	next    int64
	dead    map[int64]error // dead letters, by offset
	seen    []error         // every error that Handle returned
}

func (e *env) request(group, topic string, partition int32) sluice.ClaimRequest {
	return sluice.ClaimRequest{
		Group: group, Topic: topic, Partition: partition, TopicID: e.topicID, Committed: -1, CommittedEpoch: -1,
		Start: func(context.Context) (int64, error) { return 0, nil },
	}
}

func (p *process) claimed() *assignment {
	p.Helper()
	return p.claimedAs(p.request("g", "t", 0))
}

func (p *process) claimedAs(r sluice.ClaimRequest) *assignment {
	p.Helper()
	a := &assignment{process: p, request: r, dead: map[int64]error{}}
	a.again()
	return a
}

// again claims, with patience, as the engine does.
func (a *assignment) again() {
	a.Helper()
	if err := a.take(); err != nil {
		a.Fatalf("Claim: %v", err)
	}
}

func (a *assignment) take() error {
	for deadline := time.Now().Add(patience); ; {
		var err error
		if a.claim, err = a.sink.Claim(a.Context(), a.request); err == nil {
			a.next = a.claim.Next
			return nil
		}
		if sluice.IsRefused(err) || time.Now().After(deadline) {
			return err
		}
	}
}

// handle hands records [from, to) of a log over once, without those that are dead.
func (a *assignment) handle(ctx context.Context, log []event, to int64) error {
	b := sluice.Batch[event]{Topic: a.request.Topic, Partition: a.request.Partition, Next: to, NextEpoch: 7, Claim: a.claim.Token}
	for offset := a.next; offset < to; offset++ {
		if a.dead[offset] == nil {
			b.Messages = append(b.Messages, sluice.Message[event]{
				Value: log[offset], Attempt: 1, Record: &kgo.Record{Topic: a.request.Topic, Partition: a.request.Partition, Offset: offset},
			})
		}
	}
	err := a.sink.Handle(ctx, b)
	if err == nil {
		a.next = to
		return nil
	}
	a.seen = append(a.seen, err)
	if failed, ok := err.(*sluice.BatchError); ok { //nolint:errorlint // the engine looks for this very type
		if !failed.RolledBack {
			a.Errorf("a BatchError that is not rolled back: %v", err)
		}
		for i, cause := range failed.Failed {
			a.dead[b.Messages[i].Offset()] = cause
		}
	}
	return err
}

// work works through the log in batches, whatever happens on the way.
func (a *assignment) work(log []event, size int) {
	a.Helper()
	if err := a.run(log, size); err != nil {
		a.Fatal(err)
	}
}

// run is work for other goroutines than the test's own.
func (a *assignment) run(log []event, size int) error {
	deadline := time.Now().Add(patience)
	for a.next < int64(len(log)) {
		next, dead := a.next, len(a.dead)
		err := a.handle(a.Context(), log, min(a.next+int64(size), int64(len(log))))
		if a.next > next || len(a.dead) > dead { // rows of many megabytes take their time, one after the other
			deadline = time.Now().Add(patience)
		} else if err != nil && time.Now().After(deadline) {
			return fmt.Errorf("no end in sight at offset %d: %w", a.next, err)
		}
		if IsReclaim(err) {
			if err := a.take(); err != nil {
				return fmt.Errorf("claim again: %w", err)
			}
		}
	}
	return nil
}

// IsReclaim tells whether err is a sluice.Reclaim. Only text tells, since the package exports no test for it.
func IsReclaim(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), sluice.Reclaim(fmt.Errorf("")).Error())
}

// IsOutage tells whether err is a sluice.Outage.
func IsOutage(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), sluice.Outage(fmt.Errorf("")).Error())
}
