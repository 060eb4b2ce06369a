package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is committed for the group alone, beside transactions: where partitions begin, and the offsets of a transaction in which nothing was
// written. Nothing tells brokers the order of such a commit and of a transaction's. One that is sent again by the client, as it does
// when a connection ends, may arrive after the one that was answered, and after the transactions that came then: the group would go
// back. So each is sent once, and where no answer comes, nothing more is committed by this member: the client is made anew. One of
// partitions that are given up is the exception: nobody commits anything of those before this member has joined again, and from then on
// brokers refuse it, as it is of the generation (or the epoch) before.

// commitAlone commits for the group, without a transaction, and tells which partitions were taken, unless took is nil.
func (e *Engine) commitAlone(ctx context.Context, s *settling, took func(part)) error {
	if err := acquire(ctx, e.committing); err != nil {
		return fmt.Errorf("commit: %w: the one before is still under way: %w", errUnsent, err)
	}
	defer release(e.committing)
	if e.coordinator < 0 {
		found := e.admin.FindGroupCoordinators(ctx, e.cfg.Group)[e.cfg.Group]
		if found.Err != nil {
			return fmt.Errorf("commit: %w: %w", errUnsent, found.Err)
		}
		e.coordinator = found.NodeID
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID, req.Topics = e.cfg.Group, s.generation, s.member, s.instance, s.topics
	written := e.commitsWritten.Load()
	resp, err := req.RequestWith(ctx, e.client.Broker(int(e.coordinator)))
	if err != nil {
		e.coordinator = -1
		if ctx.Err() == nil && e.commitsWritten.Load() == written { // when the context ends, the client may be about to write it
			return fmt.Errorf("commit: %w: %w", errUnsent, err)
		}
		return fmt.Errorf("commit: %w: %w", errNoAnswer, err)
	}
	var said answers
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			topic := s.name(t.Topic, t.TopicID)
			said.note(topic, p.Partition, p.ErrorCode)
			if p.ErrorCode == 0 && took != nil {
				took(part{topic, p.Partition})
			}
		}
	}
	err = said.err(s)
	if isOneOf(err, kerr.NotCoordinator, kerr.CoordinatorNotAvailable) {
		e.coordinator = -1
	}
	return err
}

var (
	errNoAnswer = errors.New("no answer came, and it may still arrive")
	errUnsent   = errors.New("it was not sent")
)

// OnBrokerWrite counts what is written of commits outside of transactions. The client has told of it by the time that a request fails,
// save for one whose context ended.
func (h hooks) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, bytes int, _, _ time.Duration, _ error) {
	if kmsg.Key(key) == kmsg.OffsetCommit && bytes > 0 {
		h.e.commitsWritten.Add(1)
	}
}

// owesStart tells whether it has to be committed where a partition begins before anything of it is polled: the next look would find another
// place, and what is between them would be lost. Nothing is carried over between transactions, so until then its frontier is there. At the
// first record the next look finds the same.
func (e *Engine) owesStart(a *assignment) bool {
	s := e.cfg.Start
	return e.transacts() && (s.Latest || !s.Time.IsZero()) && a.owesStart()
}

func (e *Engine) owingStarts() []*assignment {
	e.mu.Lock()
	defer e.unlock()
	return e.assignments(e.owesStart)
}

// startsAgain is when starts are committed again that could not be.
const startsAgain = 200 * time.Millisecond

// beginStarts commits what is owed of our partitions. It returns when to try it again; zero: nothing is owed.
func (e *Engine) beginStarts() (again time.Time, err error) {
	if err = e.commitStarts(e.clientCtx, e.owingStarts()); err == nil {
		return time.Time{}, nil
	}
	if errors.Is(err, errNoAnswer) {
		return time.Time{}, fmt.Errorf("%w: %w", ErrRenew, err)
	}
	return time.Now().Add(startsAgain), nil
}

// commitStarts commits where those of some partitions begin that owe it, and lets them be polled then.
func (e *Engine) commitStarts(ctx context.Context, as []*assignment) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CommitTimeout)
	defer cancel()
	s := e.membership()
	owed := make(map[part]*assignment)
	e.mu.Lock()
	for _, a := range as {
		if e.owesStart(a) && a.member == s.member {
			s.add(a, a.begin, -1)
			owed[a.part] = a
		}
	}
	e.unlock()
	if len(owed) == 0 {
		return nil
	}
	var taken []part
	began := time.Now()
	err := e.commitAlone(ctx, s, func(p part) { taken = append(taken, p) })
	e.mu.Lock()
	defer e.unlock()
	acked := make(map[string]map[int32]int64)
	for _, p := range taken {
		if a := owed[p]; a != nil && a.works() {
			a.settle(a.begin, acked)
			e.resume(a)
		}
	}
	if len(acked) > 0 {
		e.tellCommitted(acked, time.Since(began))
	}
	if err != nil {
		e.tellCommitFailed(fmt.Errorf("commit where partitions begin: %w", err))
	}
	return err
}
