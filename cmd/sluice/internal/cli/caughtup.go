package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// caughtUp waits until a group, whoever its members are, has committed what the topics held at start.
type caughtUp struct {
	client *kgo.Client
	group  string
	bounds kafka.Bounds
	app    *sluice.App
	logger *slog.Logger
}

// claimed tells whether this member has joined, and stands behind the bounds itself in the partitions that it has: the
// database is the authority, and it may be behind, or have lost, what the group has committed to Kafka. What only has to be committed
// is, at once. The error names partitions that stand still until a person has done something, once they are all that is left.
func (c *caughtUp) claimed(ctx context.Context) (bool, error) {
	ready := c.app.Health().Ready
	working, finished := false, false
	var halted []error
	for _, p := range c.app.Snapshot().Partitions {
		b, ok := c.bounds[p.Topic][p.Partition]
		switch {
		case !ok, b.Start >= b.End, min(p.Frontier, p.Committed) >= b.End:
		case p.State == "halted":
			halted = append(halted, fmt.Errorf("%s[%d] stands still: %s", p.Topic, p.Partition, p.LastError))
		case p.Frontier >= b.End:
			finished = true
		default:
			working = true
		}
	}
	if len(halted) > 0 && !working {
		return false, fmt.Errorf("the group cannot catch up: %w", errors.Join(halted...))
	}
	// Transactions commit by themselves, and refuse this. What else fails is told by the engine, which tries again; so does the next look.
	if finished && !working && c.app.Commit(ctx) == nil {
		finished = false
	}
	return ready && !working && !finished, nil
}

const caughtUpInterval = 200 * time.Millisecond

// wait returns true when nothing remains, false when ctx ended or nothing that remains can be done.
func (c *caughtUp) wait(ctx context.Context) (bool, error) {
	admin := kadm.NewClient(c.client)
	ticker := time.NewTicker(caughtUpInterval)
	defer ticker.Stop()
	failing := false
	for {
		claimed, halted := c.claimed(ctx)
		left, err := kafka.Remaining(ctx, admin, c.group, c.bounds)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case halted != nil:
			return false, halted
		case err == nil && left == 0 && claimed:
			return true, nil
		case err != nil && !failing: // told once; the next look may succeed
			c.logger.Warn("cannot see whether the group has caught up", "group", c.group, "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return false, nil
		case <-ticker.C:
		}
	}
}

func (c *caughtUp) close() { c.client.Close() }
