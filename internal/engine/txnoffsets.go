package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The offsets of a transaction are sent by us, and not by the client's session (kgo.GroupTransactSession, 1.22.2): that one
// waits for the join that is under way, so for as long as the group waits for a member that crashed. Brokers take them meanwhile, and
// refuse what comes from another generation: a join that went on says so, and then they are sent again with the newer one. That
// is safe as long as the partitions were ours all the time. They were if we are the same member, as one that misses a
// generation has to come back as another or is told of the loss; and if no callback has taken them, which waits for us. No heartbeat
// is needed between the offsets and the end: whoever has the partitions next waits for the end (KIP-447, brokers from 2.5 on).

// settling is a request that commits offsets: in the transaction, or, as nothing was written in it, for the group alone. A transaction
// of offsets alone is one that the client does not end.
type settling struct {
	member     string
	generation int32
	instance   *string
	topics     []kmsg.OffsetCommitRequestTopic
}

// commitOffsets has brokers take the offsets of a transaction. An error is why it has to be aborted; an ErrRenew, why the client has to go.
func (e *Engine) commitOffsets(ctx context.Context, t *transaction) error {
	half := e.cfg.Transact.Timeout / 2
	ctx, cancel := context.WithDeadline(ctx, t.deadline.Add(half/2)) // an abort has to be in time, too
	defer cancel()
	if err := e.outputs.show(ctx, e.client.PartitionLeader); err != nil {
		return err
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := e.tryOffsets(ctx, t)
		if err == nil {
			return nil
		}
		if fate := e.fate(t); fate != nil {
			return fate
		}
		if !goesAway(err) {
			return fatalOffsets(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// goesAway tells whether the same offsets may be taken later, perhaps with another generation.
func goesAway(err error) bool {
	return isOneOf(err, errUnsent, kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.RebalanceInProgress, kerr.ConcurrentTransactions,
		kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator)
}

// fatalOffsets tells an error after which the next transaction can be tried from one after which the client is of no use: it was fenced,
// or what it sent may still arrive, and be taken for a part of the next transaction.
func fatalOffsets(err error) error {
	if isOneOf(err, errUnfinished, errRenamed, kerr.UnknownMemberID, kerr.FencedMemberEpoch, kerr.GroupIDNotFound,
		kerr.TransactionAbortable, kerr.UnknownServerError) {
		return err
	}
	return fmt.Errorf("%w: offsets were not committed: %w", ErrRenew, err)
}

func isOneOf(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// tryOffsets sends them once.
func (e *Engine) tryOffsets(ctx context.Context, t *transaction) error {
	// First who we are, then what we have: who was told of a loss is another, or has nothing any more.
	s := e.membership()
	if err := e.addFinished(s, t); err != nil || len(s.topics) == 0 {
		return err
	}
	if !t.wrote.Load() {
		return e.commitAlone(ctx, s, nil)
	}
	return e.commitInside(ctx, t, s)
}

// membership is who we are in the group, as of now.
func (e *Engine) membership() *settling {
	s := new(settling)
	s.member, s.generation = e.client.GroupMetadata()
	if id := e.cfg.Transact.InstanceID; id != "" {
		s.instance = &id
	}
	return s
}

// add takes an offset in.
func (s *settling) add(a *assignment, offset int64, epoch int32) {
	i := slices.IndexFunc(s.topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == a.topic })
	if i < 0 {
		i = len(s.topics)
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic, topic.TopicID = a.topic, a.work.TopicID
		s.topics = append(s.topics, topic)
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = a.partition, offset, epoch, new(string)
	s.topics[i].Partitions = append(s.topics[i].Partitions, p)
}

// addFinished adds what a member has finished since the last commit, if no partition of the transaction was lost meanwhile: what was
// written for that one's records is in the transaction, too.
func (e *Engine) addFinished(s *settling, t *transaction) error {
	e.mu.Lock()
	defer e.unlock()
	if t.spoiled != nil {
		return t.spoiled
	}
	for _, a := range e.parts {
		if a.state != open || a.tracker == nil || a.tracker.Next() == a.settledAt() {
			continue
		}
		if a.member != s.member {
			return errRenamed
		}
		f, epoch := a.frontier()
		if f != a.tracker.Next() {
			return fmt.Errorf("%v: %w: %d of %d", a.part, errUnfinished, f, a.tracker.Next())
		}
		s.add(a, f, epoch)
	}
	return nil
}

// commitInside commits in the transaction, which is told of the group first where brokers do not do that by themselves (KIP-890).
func (e *Engine) commitInside(ctx context.Context, t *transaction, s *settling) error {
	id, epoch, err := e.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("producer id: %w", err)
	}
	if !t.added && !e.implicit {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = e.cfg.Transact.ID, id, epoch, e.cfg.Group
		resp, err := add.RequestWith(ctx, e.client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("add the group to the transaction: %w", err)
		}
		t.added = true
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = e.cfg.Transact.ID, id, epoch
	req.Group, req.Generation, req.MemberID, req.InstanceID = e.cfg.Group, s.generation, s.member, s.instance
	for _, from := range s.topics {
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic, topic.TopicID = from.Topic, from.TopicID
		for _, o := range from.Partitions {
			p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = o.Partition, o.Offset, o.LeaderEpoch, o.Metadata
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, e.client)
	if err != nil {
		return fmt.Errorf("commit in the transaction: %w", err)
	}
	var said answers
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			said.note(s.name(t.Topic, t.TopicID), p.Partition, p.ErrorCode)
		}
	}
	return said.err(s)
}

// name is that of a topic, which newer brokers answer with its id alone.
func (s *settling) name(topic string, id [16]byte) string {
	for _, t := range s.topics {
		if topic == "" && t.TopicID == id {
			return t.Topic
		}
	}
	return topic
}

// answers are what brokers say of offsets: the first error that does not go away, and the first that may.
type answers struct {
	hard, soft error
	partitions int
}

func (n *answers) note(topic string, partition int32, code int16) {
	n.partitions++
	err := kerr.ErrorForCode(code)
	if err == nil {
		return
	}
	err = fmt.Errorf("offset of %v: %w", part{topic, partition}, err)
	if goesAway(err) {
		n.soft = cmp.Or(n.soft, err)
	} else {
		n.hard = cmp.Or(n.hard, err)
	}
}

func (n *answers) err(s *settling) error {
	asked := 0
	for _, t := range s.topics {
		asked += len(t.Partitions)
	}
	if n.partitions != asked {
		n.hard = cmp.Or(n.hard, fmt.Errorf("%d of %d offsets were answered", n.partitions, asked))
	}
	return cmp.Or(n.hard, n.soft)
}
