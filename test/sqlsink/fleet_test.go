package sqlsink_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/test/servers"
)

// fleet is a group whose members write a topic of numbers into the ledger. The topic's name is the group's.
type fleet struct {
	*testing.T

	dialect    sqlsink.Dialect
	brokers    []string
	client     *kgo.Client
	admin      *kadm.Client
	topic      string
	partitions int32
	produced   int64 // the numbers below are in the topic
	members    []*sailor
}

func newFleet(t *testing.T, d sqlsink.Dialect, partitions int32) *fleet {
	t.Helper()
	k := servers.Kafka(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.UnknownTopicRetries(-1)) // a broker that started just now takes seconds to know a new topic
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f := &fleet{t, d, k.Seeds(), client, kadm.NewClient(client), fmt.Sprintf("fleet-%d", time.Now().UnixNano()), partitions, 0, nil}
	if _, err := f.admin.CreateTopic(t.Context(), partitions, 1, nil, f.topic); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) produce(n int64) {
	f.Helper()
	rs := make([]*kgo.Record, n)
	for i := range rs {
		id := f.produced + int64(i)
		rs[i] = &kgo.Record{Topic: f.topic, Partition: int32(id % int64(f.partitions)), Value: binary.BigEndian.AppendUint64(nil, uint64(id))}
	}
	if err := f.client.ProduceSync(f.Context(), rs...).FirstErr(); err != nil {
		f.Fatal(err)
	}
	f.produced += n
}

// sailor is a member.
type sailor struct {
	*sluice.App

	sink *sqlsink.Sink[int64]
	stop context.CancelFunc
	done chan error // closed after the end of Run, which it carries
}

// join adds a member with its own connections to the database d, over the wire if there is one.
func (f *fleet) join(d servers.DB, w *wire) *sailor {
	f.Helper()
	db := d.Open(f)
	if w != nil {
		db = w.through(f, d)
	}
	db.SetMaxOpenConns(4)
	limits := sqlsink.Limits{Idle: 2 * time.Second, Lock: 2 * time.Second, Statement: 2 * time.Second}
	sink := ledger(f.T, db, f.dialect, limits)
	app, err := sluice.New(sluice.Config{
		Brokers: f.brokers, Group: f.topic, SessionTimeout: 6 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	err = sluice.AddBatch(app, sluice.BatchRoute[int64]{
		Topics: []string{f.topic}, Handle: sink.Handle, Offsets: sink, MaxSize: 100,
		Decode: func(r *kgo.Record) (int64, error) { return int64(binary.BigEndian.Uint64(r.Value)), nil },
		Policy: sluice.Policy{OnFailure: sluice.Halt{}},
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &sailor{app, sink, cancel, make(chan error, 1)}
	f.members = append(f.members, m)
	go func() { m.done <- app.Run(ctx); close(m.done) }()
	f.Cleanup(func() {
		cancel()
		for range m.done { // ended, or ends now
		}
	})
	return m
}

// leave stops a member. The database may be away just then, so what it had not written is left to the others; and a group that
// rebalances all the time takes no last commit to Kafka.
func (f *fleet) leave(m *sailor) {
	f.Helper()
	m.stop()
	for err := range m.done {
		switch {
		case err == nil, errors.Is(err, sluice.ErrAborted), errors.Is(err, sluice.ErrDrainTimeout), errors.Is(err, context.DeadlineExceeded):
		default:
			f.Errorf("Run: %v", err)
		}
	}
}

// untilWritten waits until the offsets in the database say that all that was produced is written.
func (f *fleet) untilWritten(db *sql.DB) {
	f.Helper()
	f.until("all is written", func() bool { return f.written(db) == f.produced })
}

func (f *fleet) written(db *sql.DB) int64 {
	f.Helper()
	var next int64
	if err := db.QueryRowContext(f.Context(), "select coalesce(sum(next_offset), 0) from sluice_offsets").Scan(&next); err != nil {
		f.Fatal(err)
	}
	return next
}

func (f *fleet) until(what string, ok func() bool) {
	f.Helper()
	deadline := time.After(2 * time.Minute)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			for i, m := range f.members {
				f.Logf("member %d: %+v", i, m.Health())
			}
			f.Fatalf("waited 2 minutes for: %s", what)
		}
	}
}
