package main

import (
	"context"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// parallel is the hand-written loop with a goroutine, and a transaction, a partition.
type parallel struct {
	*writer

	ctx    context.Context
	cancel context.CancelCauseFunc
	stored atomic.Int64

	// feeds is changed by the rebalance callbacks and read by the poll loop; BlockRebalanceOnPoll keeps them apart.
	feeds map[int32]*feed
}

// feed leads to the goroutine of one partition.
type feed struct {
	batches chan []*kgo.Record
	ended   chan struct{}
}

func (w *writer) runParallel(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &parallel{writer: w, ctx: ctx, cancel: cancel, feeds: map[int32]*feed{}}
	client, err := kgo.NewClient(append(w.clientOptions(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) { p.begin(added[w.Topic]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { p.end(gone[w.Topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { p.end(gone[w.Topic]) }),
	)...)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, pollRecords)
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			cancel(err)
		}
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if len(f.Records) > 0 {
				select {
				case p.feeds[f.Partition].batches <- f.Records:
				case <-ctx.Done():
				}
			}
		})
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance() // revokes, and so waits for the goroutines
	if p.stored.Load() >= w.Records {
		return nil
	}
	return context.Cause(ctx)
}

func (p *parallel) begin(partitions []int32) {
	const ahead = 4 // batches that may wait, so that a slow partition does not hold up the others at once
	for _, partition := range partitions {
		f := &feed{batches: make(chan []*kgo.Record, ahead), ended: make(chan struct{})}
		p.feeds[partition] = f
		go func() { // end waits for it
			defer close(f.ended)
			p.consume(f)
		}()
	}
}

func (p *parallel) consume(f *feed) {
	for records := range f.batches {
		if p.ctx.Err() != nil {
			continue
		}
		if err := p.store(p.ctx, records); err != nil {
			p.cancel(err)
		} else if p.stored.Add(int64(len(records))) >= p.Records {
			p.cancel(nil)
		}
	}
}

// end waits for what is being written, so that the next owner reads offsets that stay.
func (p *parallel) end(partitions []int32) {
	var going []*feed
	for _, partition := range partitions {
		if f, ok := p.feeds[partition]; ok {
			close(f.batches)
			delete(p.feeds, partition)
			going = append(going, f)
		}
	}
	for _, f := range going {
		<-f.ended
	}
}
