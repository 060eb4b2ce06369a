package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	pollRecords = 10_000 // of one poll, and of one transaction
	insertRows  = 1_000  // of one statement
)

// handwritten is what a good engineer writes in an afternoon: poll, decode, insert many rows a statement, and keep the
// offsets in the same transaction. It is exactly once as long as nobody wakes up late: nothing fences a zombie.
func handwritten(ctx context.Context, j job) error {
	w, err := newWriter(j)
	if err != nil {
		return err
	}
	defer w.db.Close()
	if j.Parallel {
		return w.runParallel(ctx)
	}
	return w.runSequential(ctx)
}

func (w *writer) runSequential(ctx context.Context) error {
	client, err := kgo.NewClient(w.clientOptions()...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for stored := int64(0); stored < w.Records; {
		fetches := client.PollRecords(ctx, pollRecords)
		if err := fetches.Err(); err != nil {
			return err
		}
		records := fetches.Records()
		if len(records) == 0 {
			continue
		}
		if err := w.store(ctx, records); err != nil {
			return err
		}
		stored += int64(len(records))
		client.AllowRebalance()
	}
	return nil
}

// writer is what both loops share.
type writer struct {
	job

	database database
	db       *sql.DB
	full     string // the statement of insertRows rows
}

func newWriter(j job) (*writer, error) {
	d, err := databaseOf(j.Database)
	if err != nil {
		return nil, err
	}
	db, err := d.open(j.DSN)
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(16)
	return &writer{job: j, database: d, db: db, full: d.insert(j.Table, insertRows)}, nil
}

func (w *writer) clientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(w.seeds()...), kgo.ConsumerGroup(w.Group), kgo.ConsumeTopics(w.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(w.startAt),
	}
}

// startAt lets each partition start where the database says.
func (w *writer) startAt(ctx context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	query := "select partition_id, next_offset from bench_offsets where group_id = " + w.database.param(1)
	rows, err := w.db.QueryContext(ctx, query, w.Group)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var partition int32
		var next int64
		if err := rows.Scan(&partition, &next); err != nil {
			return nil, err
		}
		if _, ours := at[w.Topic][partition]; ours {
			at[w.Topic][partition] = kgo.NewOffset().At(next)
		}
	}
	return at, rows.Err()
}

// store writes records and their partitions' offsets in one transaction.
func (w *writer) store(ctx context.Context, records []*kgo.Record) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	next := map[int32]int64{}
	args := make([]any, 0, 4*min(insertRows, len(records)))
	for i, r := range records {
		var o jsonOrder
		if err := json.Unmarshal(r.Value, &o); err != nil {
			return fmt.Errorf("%s/%d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		args = append(args, o.ID, o.User, string(o.Amount), o.TS)
		next[r.Partition] = r.Offset + 1
		if rows := len(args) / 4; rows == insertRows || i == len(records)-1 {
			statement := w.full
			if rows < insertRows {
				statement = w.database.insert(w.Table, rows)
			}
			if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	for partition, offset := range next {
		if _, err := tx.ExecContext(ctx, w.database.keepOffset(), w.Group, partition, offset); err != nil {
			return err
		}
	}
	return tx.Commit()
}
