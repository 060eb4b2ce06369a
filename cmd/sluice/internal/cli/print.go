package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

const defaultPrinted = 10

// printer is a dry run: it reads the topics as no group's member, prints what a run would do, and writes nowhere.
type printer struct {
	p      *Process
	cfg    sluice.Config
	spec   *pipeline.Spec
	count  int // of records to print
	client *kgo.Client
	bounds kafka.Bounds
}

func (d *printer) run(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer d.client.Close()
	out := bufio.NewWriter(d.p.Stdout)
	err := d.print(ctx, out)
	if flushErr := out.Flush(); flushErr != nil {
		err = errors.Join(err, fmt.Errorf("write to standard output: %w", flushErr))
	}
	return err
}

// open makes a client that reads each partition from where a first run would start.
func (d *printer) open(ctx context.Context) (err error) {
	reach, cancel := context.WithTimeout(ctx, d.p.ReachLimit)
	defer cancel()
	d.client, err = kafka.NewClient(reach, d.cfg, kgo.FetchIsolationLevel(isolation(d.cfg.ReadUncommitted)), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	if err = d.place(reach); err != nil {
		d.client.Close()
		if reach.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w (no answer within %v)", err, d.p.ReachLimit)
		}
	}
	return err
}

func (d *printer) place(ctx context.Context) error {
	admin := kadm.NewClient(d.client)
	var errs []error
	for _, topic := range d.spec.Topics {
		_, err := kafka.Topic(ctx, admin, topic)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var err error
	if d.bounds, err = kafka.ReadBounds(ctx, admin, d.cfg.ReadUncommitted, d.spec.Topics...); err != nil {
		return err
	}
	var after kadm.ListedOffsets
	if at := d.cfg.Start.Time(); !at.IsZero() {
		after, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), d.spec.Topics...)
		if err == nil {
			err = after.Error()
		}
		if err != nil {
			return fmt.Errorf("find where the topics are at %v: %w", at, err)
		}
	}
	offsets := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range d.bounds {
		offsets[topic] = map[int32]kgo.Offset{}
		for partition, b := range partitions {
			if at, ok := after.Lookup(topic, partition); ok && at.Offset >= 0 {
				b.Start = max(b.Start, at.Offset)
			}
			if d.cfg.Start == sluice.Latest() { // there is nothing after the end; the last ones show as much
				b.Start = max(b.Start, b.End-int64(d.count))
			}
			partitions[partition] = b
			offsets[topic][partition] = kgo.NewOffset().At(b.Start)
		}
	}
	d.client.AddConsumePartitions(offsets)
	return nil
}

// print ends after count records, at what was the end of the topics at start, or with ctx.
func (d *printer) print(ctx context.Context, out *bufio.Writer) error {
	preview := pipeline.Previewer(d.spec)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for printed := 0; d.left() > 0; {
		fetches, err := d.poll(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			b := d.bounds[r.Topic][r.Partition]
			if b.Start = r.Offset + 1; r.Offset >= b.End {
				b.Start = b.End
			}
			d.bounds[r.Topic][r.Partition] = b
			if r.Attrs.IsControl() || b.Start == b.End && r.Offset >= b.End {
				continue
			}
			if err := lines.Encode(preview(r)); err != nil {
				return fmt.Errorf("write to standard output: %w", err)
			}
			if printed++; printed == d.count {
				return nil
			}
		}
	}
	return nil
}

func (d *printer) left() (records int64) {
	for _, partitions := range d.bounds {
		for _, b := range partitions {
			records += max(0, b.End-b.Start)
		}
	}
	return records
}

// poll waits for records for no longer than a broker may take to answer.
func (d *printer) poll(ctx context.Context) (kgo.Fetches, error) {
	wait, cancel := context.WithTimeout(ctx, d.p.ReachLimit)
	defer cancel()
	fetches := d.client.PollFetches(wait)
	if wait.Err() != nil && fetches.NumRecords() == 0 {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, fmt.Errorf("kafka: no record came for %v; offsets left up to the end of the topics: %d; is a broker down?",
			d.p.ReachLimit.Round(time.Millisecond), d.left())
	}
	for _, e := range fetches.Errors() {
		if wait.Err() == nil {
			return nil, fmt.Errorf("topic %s partition %d: %w", e.Topic, e.Partition, sluice.Explain(e.Err, "READ", e.Topic))
		}
	}
	return fetches, nil
}
