package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

const (
	keys       = 1024
	keyBytes   = 8
	valueBytes = 248
)

// stage is what the arms run on.
type stage struct {
	options

	seeds  []string
	client *kgo.Client
	admin  *kadm.Client
	filled map[string]bool
	runs   int // to give each run a group, or a topic, of its own

	classes string // the class path of the Java arm, once it is compiled
	cleanUp []func()
}

func newStage(ctx context.Context, o options) (*stage, error) {
	progressf("starting Kafka")
	broker, err := servers.StartKafka()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Seeds()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, seeds: broker.Seeds(), client: client, admin: kadm.NewClient(client), filled: map[string]bool{}}
	return s, client.Ping(ctx)
}

func (s *stage) close() {
	s.client.Close()
	for _, f := range s.cleanUp {
		f()
	}
}

// name is one that no run had before.
func (s *stage) name(what string) string {
	s.runs++
	return fmt.Sprintf("bench-%s-%d-%d", what, os.Getpid(), s.runs)
}

func (s *stage) newTopic(ctx context.Context, name string, partitions int32, configs map[string]*string) error {
	if _, err := s.admin.CreateTopic(ctx, partitions, -1, configs, name); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// backlog returns a topic of so many partitions that holds so many records, whose keys are evenly spread. It is made once.
func (s *stage) backlog(ctx context.Context, partitions int32, records int64) (string, error) {
	name := fmt.Sprintf("bench-backlog-%d-%d-%d", os.Getpid(), partitions, records)
	if s.filled[name] {
		return name, nil
	}
	if err := s.newTopic(ctx, name, partitions, nil); err != nil {
		return "", err
	}
	progressf("writing %d records to %d partitions", records, partitions)
	var failed atomic.Pointer[error]
	value := []byte(strings.Repeat("order 0815 of customer 4711; ", 10))[:valueBytes]
	for i := range records {
		key := binary.BigEndian.AppendUint64(make([]byte, 0, keyBytes), uint64(i%keys))
		s.client.Produce(ctx, &kgo.Record{Topic: name, Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	if err := s.client.Flush(ctx); err != nil {
		return "", err
	}
	if err := failed.Load(); err != nil {
		return "", *err
	}
	s.filled[name] = true
	return name, nil
}

// committed is the sum of a group's commits for a topic.
func (s *stage) committed(ctx context.Context, group, topic string) (int64, error) {
	offsets, err := s.admin.FetchOffsetsForTopics(ctx, group, topic)
	if err != nil {
		return 0, err
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	return sum, nil
}

// do has a task done by a process of its own.
func (s *stage) do(ctx context.Context, t task) (values, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	cmd, err := s.command(ctx, t)
	if err != nil {
		return nil, err
	}
	return finish(ctx, cmd)
}

const taskTimeout = 5 * time.Minute

// command is a process of this program that does a task. It ends with its context.
func (s *stage) command(ctx context.Context, t task) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t.Brokers = s.seeds
	if s.profile != "" {
		s.runs++
		t.Profile = filepath.Join(s.profile, fmt.Sprintf("%s-%d.pprof", t.Do, s.runs))
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	return cmd, nil
}

// finish runs a process to its end, and reads the values that it prints.
func finish(ctx context.Context, cmd *exec.Cmd) (values, error) {
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	var v values
	if err := json.Unmarshal(stdout.Bytes(), &v); err != nil {
		return nil, fmt.Errorf("the child printed %q: %w", stdout.String(), err)
	}
	return v, nil
}
