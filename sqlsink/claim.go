package sqlsink

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice"
)

// claim is the token of one assignment. It is never changed to another owner: a late claim is a new value, and batches of
// this one find that the row is no longer theirs.
type claim struct {
	group     string
	topic     string
	partition int32
	epoch     int64  // owner_epoch
	owner     string // random, since a database that was restored may give an epoch twice
	busy      atomic.Bool
	next      int64 // next_offset as far as we know; belongs to who holds busy
	sent      int64 // the end of the last batch that COMMIT was sent for; likewise
	broken    error // what every further batch gets; likewise
}

func (c *claim) String() string { return c.topic + "/" + itoa(c.partition) }

// offsetRow is a row of the table of offsets.
type offsetRow struct {
	topicID     string
	next        int64
	leaderEpoch int32
	ownerEpoch  int64
	owner       string
}

const (
	claimTries   = 5
	maxGroupName = 255 // what MySQL's key has room for
)

var errNoRow = errors.New("no row in the table of offsets")

// claim takes a partition over. Refused is for what a person has to mend, every other error for what may pass.
func (c *core) claim(ctx context.Context, r sluice.ClaimRequest) (sluice.Claim, error) {
	if r.Group == "" || utf8.RuneCountInString(r.Group) > maxGroupName || strings.HasSuffix(r.Group, " ") {
		return sluice.Claim{}, sluice.Refused(fmt.Errorf("sqlsink: group %q: the table of offsets takes 1 to %d characters, "+
			"the last of them not a space; rename the group", r.Group, maxGroupName))
	}
	if c.table.Load() == nil {
		problems, err := c.inspect(ctx)
		if err != nil {
			return sluice.Claim{}, fmt.Errorf("sqlsink: %w", err)
		}
		if problems != nil {
			return sluice.Claim{}, sluice.Refused(problems)
		}
	}
	var err error
	for try := range claimTries {
		if try > 0 && !pause(ctx, try) {
			break
		}
		var answer sluice.Claim
		if answer, err = c.takeOver(ctx, r); errors.Is(err, errNoRow) {
			answer, err = c.first(ctx, r)
		}
		if err == nil {
			c.stats.claims.Add(1)
			return answer, nil
		}
		// A row's fault can only be that another process has added the row in between: take it over.
		if class := c.dialect.classify(err); sluice.IsRefused(err) || (class != classRetry && class != classRow) {
			break
		}
	}
	if ctx.Err() != nil {
		return sluice.Claim{}, endOf(ctx, err)
	}
	if sluice.IsRefused(err) {
		return sluice.Claim{}, err
	}
	return sluice.Claim{}, fmt.Errorf("sqlsink: claim %s/%d: %w", r.Topic, r.Partition, err)
}

// takeOver makes an existing row ours. It waits for the transaction of the owner before, which holds the row.
func (c *core) takeOver(ctx context.Context, r sluice.ClaimRequest) (_ sluice.Claim, err error) {
	conn, err := c.conns.begin(ctx)
	if err != nil {
		return sluice.Claim{}, err
	}
	row, err := c.readRow(ctx, conn, r.Group, r.Topic, r.Partition)
	if err != nil {
		c.conns.abort(ctx, conn, err)
		return sluice.Claim{}, err
	}
	id := topicID(r.TopicID)
	if id != "" && row.topicID != "" && id != row.topicID {
		c.conns.abort(ctx, conn, nil)
		return sluice.Claim{}, sluice.Refused(fmt.Errorf("sqlsink: %s/%d: the topic was deleted and made again: "+
			"the stored offset %d is of topic id %s, the topic is %s now; to begin the new topic at its start, stop the group and run: %s",
			r.Topic, r.Partition, row.next, row.topicID, id, c.text.forget(r.Group, r.Topic, r.Partition)))
	}
	if id == "" {
		id = row.topicID
	}
	cl := newClaim(r, row.ownerEpoch+1, row.next)
	if err := c.execOne(ctx, conn, c.text.takeOffset(), cl.epoch, cl.owner, id, cl.group, cl.topic, cl.partition); err != nil {
		c.conns.abort(ctx, conn, err)
		return sluice.Claim{}, err
	}
	if _, err := conn.exec(ctx, "commit"); err != nil {
		c.conns.discard(conn) // if it was committed after all, the next claim takes over from this one
		return sluice.Claim{}, fmt.Errorf("commit: %w", err)
	}
	c.conns.put(conn)
	c.log.DebugContext(ctx, "claimed", slog.String("partition", cl.String()), slog.Int64("epoch", cl.epoch), slog.Int64("next", cl.next))
	return sluice.Claim{Next: row.next, NextEpoch: row.leaderEpoch, Token: cl}, nil
}

// first adds the row of a partition that has none.
func (c *core) first(ctx context.Context, r sluice.ClaimRequest) (sluice.Claim, error) {
	start, epoch := int64(-1), int32(-1)
	switch {
	case r.Committed < 0 || c.onMissingRow == FromStart:
	case c.onMissingRow == FromCommit:
		start, epoch = r.Committed, r.CommittedEpoch
	default:
		return sluice.Claim{}, sluice.Refused(fmt.Errorf("sqlsink: %s/%d: %s has no row for group %q, but the group has committed "+
			"offset %d to Kafka: if the database lost its data, restore it; if the group moves to this sink, set OnMissingRow to "+
			"FromCommit (go on at %d) or FromStart (write the whole topic)",
			r.Topic, r.Partition, c.offsets, r.Group, r.Committed, r.Committed))
	}
	if start < 0 { // outside of any transaction: it asks Kafka
		if r.Start == nil {
			return sluice.Claim{}, errors.New("a ClaimRequest without Start")
		}
		var err error
		if start, err = r.Start(ctx); err != nil {
			return sluice.Claim{}, fmt.Errorf("find the start: %w", err)
		}
	}
	conn, err := c.conns.begin(ctx)
	if err != nil {
		return sluice.Claim{}, err
	}
	cl := newClaim(r, 1, start)
	err = c.execOne(ctx, conn, c.text.addOffset(), cl.group, cl.topic, cl.partition, topicID(r.TopicID), start, epoch, cl.epoch, cl.owner)
	if err != nil {
		c.conns.abort(ctx, conn, err)
		return sluice.Claim{}, err
	}
	if _, err := conn.exec(ctx, "commit"); err != nil {
		c.conns.discard(conn)
		return sluice.Claim{}, fmt.Errorf("commit: %w", err)
	}
	c.conns.put(conn)
	c.log.InfoContext(ctx, "claimed for the first time", slog.String("partition", cl.String()), slog.Int64("next", start))
	return sluice.Claim{Next: start, NextEpoch: epoch, Token: cl}, nil
}

func newClaim(r sluice.ClaimRequest, epoch, next int64) *claim {
	var token [16]byte
	_, _ = rand.Read(token[:]) // never fails
	return &claim{group: r.Group, topic: r.Topic, partition: r.Partition, epoch: epoch, owner: hex.EncodeToString(token[:]), next: next}
}

// readRow reads and locks the row of a partition. It waits until every transaction that has changed it has ended, which
// is what makes the answer final.
func (c *core) readRow(ctx context.Context, conn *conn, group, topic string, partition int32) (offsetRow, error) {
	var row offsetRow
	err := conn.queryRow(ctx, c.text.readOffset(), []any{group, topic, partition},
		&row.topicID, &row.next, &row.leaderEpoch, &row.ownerEpoch, &row.owner)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errNoRow
	}
	return row, err
}

// execOne runs a statement that must hit one row.
func (c *core) execOne(ctx context.Context, conn *conn, text string, args ...any) error {
	n, err := conn.exec(ctx, text, args...)
	if err == nil && n != 1 {
		return errNoMatch
	}
	return err
}

// topicID spells an id as Kafka's own tools do; empty when unknown.
func topicID(id [16]byte) string {
	if id == ([16]byte{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// pause waits before the given try; false when ctx ended.
func pause(ctx context.Context, try int) bool {
	base := 10 * time.Millisecond << min(try, 6)
	var random [1]byte
	_, _ = rand.Read(random[:])
	t := time.NewTimer(base + base*time.Duration(random[0])/256)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
