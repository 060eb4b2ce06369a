package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/bench/internal/measure"
	"github.com/sluice-go/sluice/test/servers"
)

// stage is what the arms run on: the servers, the topic with its records, the program.
type stage struct {
	options

	brokers string
	homes   []*home
	admin   *kadm.Client
	folder  string
	machine measure.Machine
	topic   string
	closers []func()
	runs    int // to give each run a table and a group of its own
}

// home is a database that runs.
type home struct {
	database

	dsn, url string
	db       *sql.DB
	is       string // its version
}

func prepare(ctx context.Context, o options) (_ *stage, err error) {
	s := &stage{options: o}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.folder, err = os.MkdirTemp("", "sluice-bench-"); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(s.folder) })
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// build makes the program from this checkout, unless one was given.
func (s *stage) build(ctx context.Context) error {
	if s.sluice != "" {
		return nil
	}
	progressf("building sluice")
	s.sluice = filepath.Join(s.folder, "sluice")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.sluice, "github.com/sluice-go/sluice/cmd/sluice")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

func (s *stage) start(ctx context.Context) error {
	progressf("starting Kafka")
	broker, err := servers.StartKafka()
	if err != nil {
		return err
	}
	s.brokers = broker.Brokers
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Seeds()...))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, client.Close)
	s.admin = kadm.NewClient(client)

	s.machine = measure.NewMachine("github.com/IBM/sarama", "github.com/twmb/franz-go", "github.com/go-sql-driver/mysql",
		"github.com/jackc/pgx/v5", "modernc.org/sqlite")
	if s.machine.Kafka, err = kafkaVersion(ctx, broker, s.admin); err != nil {
		return err
	}
	for _, d := range databases() {
		if s.databases != nil && !slices.Contains(s.databases, d.name) {
			continue
		}
		progressf("starting %s", d.name)
		if err := s.house(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

func (s *stage) house(ctx context.Context, d database) error {
	h := &home{database: d}
	var drop func()
	var err error
	if h.dsn, h.url, drop, err = d.start(ctx, s.folder); err != nil {
		return err
	}
	s.closers = append(s.closers, drop)
	if h.db, err = d.open(h.dsn); err != nil {
		return err
	}
	s.closers = append(s.closers, func() { _ = h.db.Close() })
	if h.is, err = d.version(ctx, h.db); err != nil {
		return err
	}
	s.homes = append(s.homes, h)
	return d.createOffsets(ctx, h.db)
}

// kafkaVersion asks the jars, or, of a broker from elsewhere, what requests it knows: that says major and minor at most.
func kafkaVersion(ctx context.Context, broker *servers.KafkaServer, admin *kadm.Client) (string, error) {
	if os.Getenv("KAFKA_BROKERS") == "" {
		out, err := broker.Tool(ctx, "kafka.Kafka", "--version")
		if version := regexp.MustCompile(`^\d+(\.\d+)+`).Find(out); err == nil && version != nil {
			return string(version), nil
		}
	}
	all, err := admin.ApiVersions(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the brokers for their version: %w", err)
	}
	for _, one := range all.Sorted() {
		return one.VersionGuess(), nil
	}
	return "", nil
}

// fill makes the topic with its orders. A process of its own produces them: see [measured].
func (s *stage) fill(ctx context.Context) error {
	topic := strings.Replace(filepath.Base(s.folder), "sluice-bench-", "bench-orders-", 1)
	if _, err := s.admin.CreateTopic(ctx, int32(s.partitions), -1, nil, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	s.topic = topic
	s.closers = append(s.closers, func() {
		_, _ = s.admin.DeleteTopics(context.Background(), topic) // there is nothing to do about an error at the end
	})
	progressf("producing %d orders to %d partitions of %s", s.records, s.partitions, topic)
	cmd, err := childCommand(ctx, job{Do: doProduce, Brokers: s.brokers, Topic: topic, Records: s.records})
	if err != nil {
		return err
	}
	_, err = measured(ctx, cmd)
	return err
}

func (s *stage) close() {
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		s.closers[last]()
		s.closers = s.closers[:last]
	}
}

func progressf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
