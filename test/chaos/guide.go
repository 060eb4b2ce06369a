package main

import (
	"context"
	"database/sql"
	"log/slog"
	"strconv"
	"time"

	"github.com/IBM/sarama"
	"github.com/go-sql-driver/mysql"
)

// guide is the loop as the usual guide has it: a handler of a consumer group, one insert a record, and offsets that are committed by the
// client once a second, or by the handler every third record. It is written with the same care for errors as guides take.
func (t task) guide(ctx context.Context, log *slog.Logger, j *journal) error {
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil {
		return err
	}
	db, err := sql.Open(t.Driver, t.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = t.Job.Mode == guideAuto
	config.Consumer.Group.Session.Timeout = sessionTimeout
	config.Consumer.Group.Heartbeat.Interval = heartbeatInterval
	config.Consumer.IsolationLevel = sarama.ReadCommitted // what it is accused of is not what a setting mends
	config.Metadata.RefreshFrequency = 2 * time.Second
	var group sarama.ConsumerGroup
	for group == nil { // a member starts in an outage, too
		if group, err = sarama.NewConsumerGroup(t.Brokers, t.Job.Name, config); err != nil {
			log.Warn("no broker", "err", err)
			if !idle(ctx, 500*time.Millisecond) {
				return nil
			}
		}
	}
	h := &guideHandler{task: t, journal: j, db: db, insert: "insert into " + t.Job.table() +
		" (member, partition_id, record_offset, record_key, number) values (?, ?, ?, ?, ?)"}
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{t.Topic}, h); err != nil {
			log.Warn("consume", "err", err)
			idle(ctx, 500*time.Millisecond)
		}
	}
	return group.Close()
}

type guideHandler struct {
	task    task
	journal *journal
	db      *sql.DB
	insert  string
}

func (h *guideHandler) Setup(session sarama.ConsumerGroupSession) error {
	for _, partition := range session.Claims()[h.task.Topic] {
		h.journal.notef('A', "%d", partition)
	}
	return nil
}

func (h *guideHandler) Cleanup(session sarama.ConsumerGroupSession) error {
	for _, partition := range session.Claims()[h.task.Topic] {
		h.journal.notef('R', "%d released", partition)
	}
	return nil
}

func (h *guideHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	const commitEvery = 3
	handled := 0
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			number, err := strconv.ParseInt(string(message.Value), 10, 64)
			if err != nil {
				return err
			}
			_, err = h.db.ExecContext(session.Context(), h.insert, h.task.Member, message.Partition, message.Offset, string(message.Key), number)
			if err != nil {
				return err
			}
			session.MarkMessage(message, "")
			if handled++; h.task.Job.Mode == guideThird && handled%commitEvery == 0 {
				session.Commit()
			}
		case <-session.Context().Done():
			return nil
		}
	}
}
