package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// taskVariable is the environment's variable that makes a member of this program.
const taskVariable = "SLUICE_CHAOS_TASK"

// task is what a member is to do.
type task struct {
	Job     job      `json:"job"`
	Brokers []string `json:"brokers"`
	Topic   string   `json:"topic"`
	Driver  string   `json:"driver"` // of the job's database
	DSN     string   `json:"dsn"`
	Journal string   `json:"journal"` // the file
	Member  string   `json:"member"`  // its name

	Instance string `json:"instance,omitempty"` // of a static member, for as long as its place: whoever is started there has it
}

const (
	sessionTimeout    = 3 * time.Second
	heartbeatInterval = time.Second
	handlerTime       = time.Millisecond // of each record, so that something is under way when a member dies
)

// memberMain is the member's main function. Its log is what it prints.
func memberMain(text string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var t task
	err := json.Unmarshal([]byte(text), &t)
	if err == nil {
		err = t.run(ctx, log)
	}
	if err != nil {
		log.Error("the member failed", "err", err)
		return 1
	}
	return 0
}

func (t task) run(ctx context.Context, log *slog.Logger) error {
	j, err := openJournal(t.Journal)
	if err != nil {
		return err
	}
	switch t.Job.Mode {
	case byPartition, byKey:
		err = t.atLeastOnce(ctx, log, j)
	case toSQL:
		err = t.toSQL(ctx, log, j)
	case toKafka:
		err = t.toKafka(ctx, log, j)
	case guideAuto, guideThird:
		err = t.guide(ctx, log, j)
	default:
		err = fmt.Errorf("no such mode: %q", t.Job.Mode)
	}
	if err != nil {
		return err // without the line that says that all went well
	}
	return j.close()
}

// config is what every mode of the library has in common.
func (t task) config(log *slog.Logger, j *journal) sluice.Config {
	cfg := sluice.Config{
		Brokers: t.Brokers, Group: t.Job.Name, GroupProtocol: t.Job.Protocol, InstanceID: t.Instance, Logger: log,
		Network: sluice.Network{MetadataMaxAge: 2 * time.Second},
		Events: sluice.Events{
			Assigned: func(i sluice.AssignedInfo) { j.notef('A', "%d", i.Partition) },
			Released: func(i sluice.ReleasedInfo) {
				how := "released"
				if i.Lost {
					how = "lost"
				}
				j.notef('R', "%d %s", i.Partition, how)
			},
			DrainOverran: func(i sluice.DrainOverranInfo) { j.notef('O', "%d", i.Partition) },
			Committed: func(i sluice.CommittedInfo) {
				var offsets strings.Builder
				for partition, offset := range i.Offsets[t.Topic] {
					fmt.Fprintf(&offsets, " %d=%d", partition, offset)
				}
				j.notef('C', "%d%s", i.Took.Nanoseconds(), offsets.String())
			},
			CommitFailed: func(sluice.CommitFailedInfo) { j.notef('F', "") },
		},
	}
	if t.Job.Protocol == sluice.ClassicProtocol { // the other one's are the broker's
		cfg.SessionTimeout, cfg.HeartbeatInterval = sessionTimeout, heartbeatInterval
	}
	return cfg
}

// atLeastOnce notes every record when its handler begins, and when it ends: that is its output.
func (t task) atLeastOnce(ctx context.Context, log *slog.Logger, j *journal) error {
	app, err := sluice.New(t.config(log, j))
	if err != nil {
		return err
	}
	policy := sluice.Policy{}
	if t.Job.Mode == byKey {
		policy.Ordering = sluice.ByKey
	}
	err = sluice.Add(app, sluice.Route[int64]{
		Topics: []string{t.Topic}, Decode: number, Policy: policy,
		Handle: func(ctx context.Context, m sluice.Message[int64]) error {
			j.notef('B', "%d %d %s %d", m.Partition(), m.Offset(), m.Key(), m.Value)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(handlerTime):
			}
			j.notef('E', "%d %d", m.Partition(), m.Offset())
			return nil
		},
	})
	if err != nil {
		return err
	}
	return app.Run(ctx)
}

// number decodes a record of the ledger.
func number(r *kgo.Record) (int64, error) { return strconv.ParseInt(string(r.Value), 10, 64) }
