package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// outputs are the topics that transactions have written to. The client writes the first records of a topic before it shows where it has put
// them (kgo 1.22.2, storePartitionsUpdate), and its EndTransaction looks there for what is to be committed: where it finds nothing it
// aborts what it was told to commit, and says that all went well. So a transaction is committed when the client shows what it has written.
// All partitions of a topic are shown together.
type outputs struct {
	mu     sync.Mutex
	hidden map[string]int32 // a partition of each topic that may not be shown yet
	shown  map[string]bool
}

func newOutputs() *outputs {
	return &outputs{hidden: make(map[string]int32), shown: make(map[string]bool)}
}

// wrote notes a write that brokers have taken.
func (o *outputs) wrote(topic string, partition int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.shown[topic] {
		o.hidden[topic] = partition
	}
}

// show waits until the client shows all of it. leader is kgo.Client.PartitionLeader; an error that it tells of may be of an earlier look,
// from before the topic was there.
func (o *outputs) show(ctx context.Context, leader func(topic string, partition int32) (leader, epoch int32, err error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, partition := range o.hidden {
		for {
			at, _, err := leader(topic, partition)
			if at >= 0 {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the client does not show partition %d of %s, which it wrote to: %w",
					partition, topic, errors.Join(ctx.Err(), err))
			case <-time.After(time.Millisecond):
			}
		}
		o.shown[topic] = true
		delete(o.hidden, topic)
	}
	return nil
}
