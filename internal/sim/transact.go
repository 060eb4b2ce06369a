package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

// answerTopic is the topic that a TransactRoute writes to: a record for each one that it handled.
const answerTopic = "answers"

// transact is a TransactRoute's own part of a scenario.
type transact struct {
	timeout, interval time.Duration
	old               bool // the brokers know nothing of KIP-890
}

// transacts tells whether the route works in transactions.
func (s *scenario) transacts() bool { return s.transact.timeout > 0 }

// txnErrors are what brokers may answer to requests that only transactions need.
var txnErrors = []struct {
	key  kmsg.Key
	errs []*kerr.Error
}{
	{kmsg.AddPartitionsToTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.InvalidProducerEpoch}},
	{kmsg.AddOffsetsToTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError}},
	{kmsg.TxnOffsetCommit, []*kerr.Error{
		kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.UnknownMemberID,
		kerr.UnknownServerError, kerr.TransactionAbortable, kerr.InvalidProducerEpoch, kerr.RequestTimedOut,
	}},
	{kmsg.EndTxn, []*kerr.Error{
		kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.ConcurrentTransactions, kerr.UnknownServerError, kerr.TransactionAbortable,
		kerr.ProducerFenced,
	}},
	{kmsg.InitProducerID, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError}},
}

// transactions decides on a TransactRoute, and takes out what does not go together with it. It has dice of its own, as more has.
func (s *scenario) transactions(d dice) {
	if s.theme == themeSteady || s.stream || s.batch > 0 || len(s.retries) > 0 || s.stuck.After > 0 || s.truncate || !d.chance(40) {
		return
	}
	s.transact = transact{timeout: pick(d, 3*time.Second, 5*time.Second), interval: pick[time.Duration](d, 0, 0, 500*time.Millisecond)}
	if s.protocol == consumer && d.chance(40) { // longer than a session: what a member leaves open outlives its membership
		s.transact.timeout, s.rebalance = 15*time.Second, 30*time.Second
	}
	half := s.transact.timeout / 2
	s.commit = commitPlan{name: "in transactions"}
	s.breaker, s.plain = -1, false
	s.timeout = min(s.timeout, half)
	for i := range s.feeds {
		s.feeds[i].txn = noTxn // faults are for the members' own
		for j := range s.feeds[i].records {
			if r := &s.feeds[i].records[j]; r.kind != hangs && r.kind != stubborn {
				r.takes = min(r.takes, half/3) // each can be finished within a transaction
			}
		}
	}
	s.faults = slices.DeleteFunc(s.faults, func(f fault) bool {
		return f.what == move || f.key == kmsg.Produce && f.err == kerr.MessageTooLarge // it is a record's own fault
	})
	s.transact.old = s.protocol != consumer && d.chance(25)
	for range d.IntN(3) {
		s.faults = append(s.faults, fault{
			at: d.between(2*time.Second, s.length), what: lose,
			key: pick(d, kmsg.EndTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.InitProducerID, kmsg.OffsetCommit),
		})
	}
	for range d.IntN(4) {
		a := pick(d, txnErrors...)
		s.faults = append(s.faults, fault{
			at: d.between(2*time.Second, s.length), what: answer, key: a.key, err: pick(d, a.errs...),
			lasts: d.between(time.Second, 8*time.Second), count: pick(d, 1, 1, 2, 5),
		})
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
}

// addTransact adds the route.
func (p *process) addTransact(app *sluice.App, policy sluice.Policy) error {
	t := p.w.scenario.transact
	return sluice.AddTransact(app, sluice.TransactRoute[*record]{
		Topics: []string{topic}, Decode: p.decode, Handle: p.handleTransact, Policy: policy, Interval: t.interval, Timeout: t.timeout,
	})
}

// handleTransact is the handler of a TransactRoute. Answers to the records of a lane go to one partition.
func (p *process) handleTransact(ctx context.Context, m sluice.Message[*record]) ([]*kgo.Record, error) {
	if err := p.handle(ctx, m); err != nil {
		return nil, err
	}
	return []*kgo.Record{{Topic: answerTopic, Key: fmt.Append(nil, p.w.scenario.lane(m.Value)), Value: value(m.Value.id)}}, nil
}
