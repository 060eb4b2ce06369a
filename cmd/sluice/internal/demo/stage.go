package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

// stage is what a demonstration runs on: topics, a table, and clients of the demonstration's own.
type stage struct {
	kafka  sluice.Config
	client *kgo.Client
	admin  *kadm.Client
	spec   *pipeline.Spec
	db     *sql.DB

	cluster *kfake.Cluster // nil with real brokers
	folder  string         // of the SQLite file; empty with a real database
}

// setUp makes the stage. Names have a random end, so that two demonstrations on one server do not meet; what they leave on
// a real server stays there, and is named.
func setUp(ctx context.Context, o Options, logger *slog.Logger) (s *stage, err error) {
	suffix := make([]byte, 4)
	_, _ = rand.Read(suffix) // never fails
	name := "sluice_demo_" + hex.EncodeToString(suffix)
	s = &stage{kafka: o.Kafka}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, o.ReachLimit)
	defer cancel()
	if len(s.kafka.Brokers) == 0 {
		if s.cluster, err = kafka.Embedded("127.0.0.1:0"); err != nil {
			return s, err
		}
		s.kafka.Brokers = s.cluster.ListenAddrs()
	}
	if s.client, err = kafka.NewClient(ctx, s.kafka); err != nil {
		return s, err
	}
	s.admin = kadm.NewClient(s.client)
	dsn := o.DSN
	if dsn == nil {
		if s.folder, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
			return s, err
		}
		dsn = &pipeline.DSN{Scheme: "sqlite", Database: filepath.Join(s.folder, "orders.db")}
	}
	s.spec = specOf(name, *dsn)
	s.kafka.Group, s.kafka.Logger = s.spec.Group, logger
	if err = s.createTopics(ctx); err != nil {
		return s, err
	}
	if s.db, err = dsn.Connect(logger, false); err != nil {
		return s, err
	}
	if err = dsn.Reach(ctx, s.db); err != nil {
		return s, err
	}
	if err = s.createTable(ctx); err != nil {
		return s, err
	}
	return s, nil
}

func specOf(name string, dsn pipeline.DSN) *pipeline.Spec {
	return &pipeline.Spec{
		Name: name, Topics: []string{name}, Group: name, DeadLetter: name + "_dlq",
		Decode: pipeline.Format{Name: pipeline.FormatJSON},
		SQL: pipeline.SQL{
			DSN: dsn, Table: name, Mode: pipeline.ModeInsert, Tombstone: pipeline.TombstoneDeadLetter,
			Columns: []pipeline.Column{
				{Name: "id", From: pipeline.FromValue, Path: "id"},
				{Name: "customer", From: pipeline.FromValue, Path: "customer"},
				{Name: "amount", From: pipeline.FromValue, Path: "amount"},
				{Name: "source_partition", From: pipeline.FromPartition},
				{Name: "source_offset", From: pipeline.FromOffset},
			},
		},
	}
}

func (s *stage) createTopics(ctx context.Context) error {
	for topic, n := range map[string]int32{s.spec.Topics[0]: partitions, s.spec.DeadLetter: 1} {
		answer, err := s.admin.CreateTopic(ctx, n, -1, nil, topic)
		if err == nil {
			err = answer.Err
		}
		if err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	return s.awaitTopics(ctx)
}

// awaitTopics waits until the brokers know the topics: a real one answers before it does.
func (s *stage) awaitTopics(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		known, err := s.admin.ListTopics(ctx, s.spec.Topics[0], s.spec.DeadLetter)
		if err == nil {
			err = known.Error()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the topics that were created do not show up: %w", err)
		case <-ticker.C:
		}
	}
}

// createTable makes a table without any unique key: a record that is written twice is two rows. It refuses what
// badOrder makes.
func (s *stage) createTable(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `create table `+s.spec.SQL.Table+` (
	id bigint not null,
	customer varchar(40) not null check (length(customer) <= 40),
	amount decimal(12,2) not null check (amount >= 0),
	source_partition integer not null,
	source_offset bigint not null
)`)
	if err != nil {
		return fmt.Errorf("database %s: create table %s: %w", s.spec.SQL.DSN, s.spec.SQL.Table, err)
	}
	return nil
}

// where says what it runs on, and so what stays on a real server.
func (s *stage) where() string {
	broker, database := "the embedded broker", "SQLite in a temporary file"
	if s.cluster == nil {
		broker = fmt.Sprintf("%s, topics %s and %s", strings.Join(s.kafka.Brokers, ","), s.spec.Topics[0], s.spec.DeadLetter)
	}
	if s.folder == "" {
		database = fmt.Sprintf("%s, table %s", s.spec.SQL.DSN, s.spec.SQL.Table)
	}
	return fmt.Sprintf("orders from %s to %s", broker, database)
}

// remaining counts the orders that the group has not committed.
func (s *stage) remaining(ctx context.Context) (int64, error) {
	bounds, err := kafka.ReadBounds(ctx, s.admin, false, s.spec.Topics...)
	if err != nil {
		return 0, err
	}
	return kafka.Remaining(ctx, s.admin, s.spec.Group, bounds)
}

func (s *stage) close() {
	if s.client != nil {
		s.client.Close()
	}
	if s.db != nil {
		_ = s.db.Close()
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
}
