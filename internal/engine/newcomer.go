package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// before is what there was when this member started, before it joined. It tells a partition that came later from one that the
// group has never begun: without a commit, that one begins where the configuration says, and a newcomer at its first record, or
// what is written until it is noticed would be lost to a group that starts at the latest record.
type before struct {
	partitions map[string]int       // of every topic
	commits    kadm.OffsetResponses // of the group
}

// lookBefore asks for it, where it matters, until it has an answer or ctx ends; and what brokers know of transactions.
func (e *Engine) lookBefore(ctx context.Context) error {
	if !e.cfg.Start.Latest && !e.transacts() {
		return nil
	}
	client, err := kgo.NewClient(e.cfg.Options...)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if e.transacts() {
		if err := e.lookAtTransactions(ctx, admin); err != nil || !e.cfg.Start.Latest {
			return err
		}
	}
	return e.retry(ctx, "see which partitions there are", func() error {
		topics, err := admin.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		b := before{partitions: make(map[string]int)}
		for _, t := range topics {
			if t.Err != nil && e.RouteOf(t.Topic) != nil {
				return fmt.Errorf("topic %s: %w", t.Topic, t.Err)
			}
			b.partitions[t.Topic] = len(t.Partitions)
		}
		if b.commits, err = admin.FetchOffsets(ctx, e.cfg.Group); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return err
		}
		e.before = &b
		return nil
	})
}

// newcomer tells whether a partition without a commit came after the group had begun its topic.
func (e *Engine) newcomer(p part) bool {
	b := e.before
	if b == nil {
		return false
	}
	if int(p.partition) >= b.partitions[p.topic] {
		return true
	}
	_, had := b.commits.Lookup(p.topic, p.partition)
	return !had && len(b.commits[p.topic]) > 0
}
