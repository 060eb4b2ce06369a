package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/IBM/sarama"
	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

// guide is the loop as the usual guide has it: a handler of a consumer group, one insert a record, a commit every third. It is
// done when the first j.Records orders are in the table; partitions that got there sooner have gone on meanwhile.
//
// It reads the same topic as the others, so that it never meets the end. There sarama's long fetch and its commits share one
// connection, each commit waits up to half a second, and the rate says nothing about the loop (seen: 60 a second).
func guide(ctx context.Context, j job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	db, err := sql.Open("mysql", j.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxIdleConns(16) // more than most guides say: with the default of 2 it connects anew all the time
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	group, err := sarama.NewConsumerGroup(j.seeds(), j.Group, config)
	if err != nil {
		return err
	}
	h := &guideHandler{
		db: db, records: j.Records, done: cancel,
		insert: "insert into " + j.Table + " (id, customer, amount, ts) values (?, ?, ?, ?)",
	}
	for ctx.Err() == nil {
		if err = group.Consume(ctx, []string{j.Topic}, h); err != nil {
			break
		}
	}
	if closeErr := group.Close(); err == nil {
		err = closeErr
	}
	switch {
	case h.failure.Load() != nil:
		return *h.failure.Load()
	case h.stored.Load() < j.Records:
		return fmt.Errorf("ended after %d of %d records: %w", h.stored.Load(), j.Records, err)
	}
	return nil
}

type guideHandler struct {
	db      *sql.DB
	insert  string
	records int64
	done    context.CancelFunc

	stored  atomic.Int64 // of the first records
	failure atomic.Pointer[error]
}

func (*guideHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*guideHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h *guideHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	const commitEvery = 3
	handled := 0
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			id, err := h.handle(session.Context(), message)
			switch {
			case err != nil && session.Context().Err() != nil:
				return session.Context().Err() // the job is done
			case err != nil:
				h.failure.Store(&err)
				h.done()
				return err
			}
			session.MarkMessage(message, "")
			if handled++; handled%commitEvery == 0 {
				session.Commit()
			}
			if id <= h.records && h.stored.Add(1) == h.records {
				h.done()
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (h *guideHandler) handle(ctx context.Context, message *sarama.ConsumerMessage) (id int64, err error) {
	var row jsonOrder
	if err := json.Unmarshal(message.Value, &row); err != nil {
		return 0, err
	}
	_, err = h.db.ExecContext(ctx, h.insert, row.ID, row.User, string(row.Amount), row.TS)
	return row.ID, err
}

// jsonOrder is what a service reads; the amount keeps its digits.
type jsonOrder struct {
	ID     int64       `json:"id"`
	User   string      `json:"user"`
	Amount json.Number `json:"amount"`
	TS     string      `json:"ts"`
}
