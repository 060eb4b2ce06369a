package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/bench/internal/measure"
	"github.com/sluice-go/sluice/test/servers"
)

// stage is what the arms run on.
type stage struct {
	options

	broker  *servers.KafkaServer
	admin   *kadm.Client
	machine measure.Machine
	runs    int // to give each run a topic of its own
}

// outcome is what one run of an arm gave.
type outcome struct {
	rate float64 // records a second, from the first that is sent to the last that is acknowledged
	cpu  time.Duration
	rss  int64 // bytes, at most
}

// bench runs the arms and writes the report.
func bench(ctx context.Context, o options) error {
	progressf("starting Kafka")
	broker, err := servers.StartKafka()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Seeds()...))
	if err != nil {
		return err
	}
	defer client.Close()
	s := &stage{
		options: o, broker: broker, admin: kadm.NewClient(client),
		machine: measure.NewMachine("github.com/IBM/sarama", "github.com/twmb/franz-go"),
	}
	results, err := s.rounds(ctx)
	if err != nil {
		return err
	}
	return s.report(results).write(os.Stdout, o.output)
}

// rounds runs each arm in turn, several times; every round begins with another arm, so that none always follows the same.
func (s *stage) rounds(ctx context.Context) (map[string][]outcome, error) {
	var chosen []string
	for _, name := range armNames() {
		if s.only == nil || slices.Contains(s.only, name) {
			chosen = append(chosen, name)
		}
	}
	// The broker compiles its code while it works; what comes first must not pay for the others.
	progressf("warming up, not counted")
	if _, err := s.once(ctx, armFranz); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	results := map[string][]outcome{}
	for round := range s.options.rounds {
		for i := range chosen {
			name := chosen[(i+round)%len(chosen)]
			o, err := s.once(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("arm %s, round %d: %w", name, round+1, err)
			}
			progressf("round %d/%d: %-8s %9.0f records/s, %6.2f µs of CPU a record, %4d MB",
				round+1, s.options.rounds, name, o.rate, micros(o, s.records), o.rss>>20)
			results[name] = append(results[name], o)
		}
	}
	return results, nil
}

func micros(o outcome, records int64) float64 { return o.cpu.Seconds() * 1e6 / float64(records) }

// once runs an arm on a fresh topic, and counts what the topic holds then.
func (s *stage) once(ctx context.Context, name string) (out outcome, err error) {
	const limit = 10 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.runs++
	topic := fmt.Sprintf("bench-producer-%d-%d", os.Getpid(), s.runs)
	if _, err := s.admin.CreateTopic(ctx, int32(s.partitions), -1, nil, topic); err != nil {
		return out, fmt.Errorf("create topic %s: %w", topic, err)
	}
	defer func() { _, _ = s.admin.DeleteTopics(context.WithoutCancel(ctx), topic) }()
	out, err = measured(ctx, job{Arm: name, Brokers: s.broker.Seeds(), Topic: topic, Records: s.records, Linger: s.linger})
	if err != nil {
		return out, err
	}
	ends, err := s.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return out, err
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total != s.records {
		return out, fmt.Errorf("topic %s holds %d records, want %d", topic, total, s.records)
	}
	return out, nil
}

// measured runs a job in a process of its own.
func measured(ctx context.Context, j job) (outcome, error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return outcome{}, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return outcome{}, errors.Join(err, context.Cause(ctx))
	}
	var told cost
	if err := json.Unmarshal(stdout.Bytes(), &told); err != nil || told.Took <= 0 {
		return outcome{}, fmt.Errorf("the child printed %q", stdout.String())
	}
	return outcome{
		rate: float64(j.Records) / told.Took.Seconds(),
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		rss:  told.RSS,
	}, nil
}
