package cli

import (
	"context"
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
	health func() sluice.Health
	logger *slog.Logger
}

// claimed tells whether this member has joined, and stands behind the bounds itself in the partitions that it has: the
// database is the authority, and it may be behind, or have lost, what the group has committed to Kafka.
func (c *caughtUp) claimed() bool {
	h := c.health()
	if !h.Ready {
		return false
	}
	for _, p := range h.Partitions {
		if b, ok := c.bounds[p.Topic][p.Partition]; ok && b.Start < b.End && min(p.Frontier, p.Committed) < b.End {
			return false
		}
	}
	return true
}

const caughtUpInterval = 200 * time.Millisecond

// wait returns true when nothing remains, false when ctx ended.
func (c *caughtUp) wait(ctx context.Context) bool {
	admin := kadm.NewClient(c.client)
	ticker := time.NewTicker(caughtUpInterval)
	defer ticker.Stop()
	failing := false
	for {
		left, err := kafka.Remaining(ctx, admin, c.group, c.bounds)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil && left == 0 && c.claimed():
			return true
		case err != nil && !failing: // told once; the next look may succeed
			c.logger.Warn("cannot see whether the group has caught up", "group", c.group, "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func (c *caughtUp) close() { c.client.Close() }
