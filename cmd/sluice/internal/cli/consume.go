package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

type consumeOptions struct {
	topic     string
	from      string
	count     int64
	separator string
	exit      bool
}

func newConsume(p *Process) *cobra.Command {
	var flags kafkaFlags
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume -t TOPIC",
		Short: "Print the records of a topic, a line each",
		Long: `Prints the values of a topic's records, a line each, and goes on until Ctrl-C, until -n records were printed, or with -e
until the end. With -k it prints key, separator and value. It is no member of any group and commits nothing. Order holds
within a partition; records of aborted transactions are not printed; a null key or value prints as nothing.`,
		Example: "  sluice consume -t orders.dlq -e\n  sluice consume -t orders --from 2026-01-31T08:00:00Z -n 10",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.topic == "":
				return usagef("-t: name the topic to read")
			case o.count < 0:
				return usagef("-n %d: a negative number of records", o.count)
			}
			position, err := parseFrom(o.from)
			if err != nil {
				return err
			}
			cfg, err := flags.config(p, sluice.Config{})
			if err != nil {
				return err
			}
			return p.consume(cmd.Context(), cfg, o, position)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&o.topic, "topic", "t", "", "topic to read (required)")
	cmd.Flags().StringVar(&o.from, "from", "earliest", "where to start: earliest, latest, an offset, or a time as in 2026-01-31T08:00:00Z")
	cmd.Flags().Int64VarP(&o.count, "count", "n", 0, "end after this many records (default: do not end)")
	cmd.Flags().StringVarP(&o.separator, "key-separator", "k", "", "print the key, this and the value (default: the value alone)")
	cmd.Flags().BoolVarP(&o.exit, "exit", "e", false, "end at what is the end of the topic at start")
	return cmd
}

// from is a place in a topic: one of the ends, an offset, or a time.
type from struct {
	latest bool
	offset int64 // -1: not by offset
	at     time.Time
}

func parseFrom(s string) (from, error) {
	switch s {
	case "earliest":
		return from{offset: -1}, nil
	case "latest":
		return from{offset: -1, latest: true}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return from{offset: n}, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return from{}, usagef("--from %q: none of earliest, latest, an offset and a time as in 2026-01-31T08:00:00Z", s)
	}
	return from{offset: -1, at: at}, nil
}

func (p *Process) consume(ctx context.Context, cfg sluice.Config, o consumeOptions, position from) error {
	client, bounds, err := p.openTopic(ctx, cfg, o.topic, position)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer client.Close()
	w := lineWriter{out: bufio.NewWriterSize(p.Stdout, 1<<16), separator: o.separator}
	next := map[int32]int64{}
	for partition, b := range bounds {
		next[partition] = b.Start
	}
	for !o.exit || behind(next, bounds) {
		if err := w.out.Flush(); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			break
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("topic %s partition %d: %w", e.Topic, e.Partition, e.Err)
		}
		for r := range fetches.RecordsAll() {
			beyond := o.exit && r.Offset >= bounds[r.Partition].End
			next[r.Partition] = r.Offset + 1
			if r.Attrs.IsControl() || beyond {
				continue
			}
			w.write(r)
			if o.count > 0 && w.written == o.count {
				return w.out.Flush()
			}
		}
	}
	return w.out.Flush()
}

func behind(next map[int32]int64, bounds map[int32]kafka.Bound) bool {
	for partition, b := range bounds {
		if next[partition] < b.End {
			return true
		}
	}
	return false
}

// openTopic makes a client that reads each partition from its position on, which it resolves to a number: bounds tell from
// where to where.
func (p *Process) openTopic(ctx context.Context, cfg sluice.Config, topic string, position from) (
	*kgo.Client, map[int32]kafka.Bound, error,
) {
	reach, cancel := context.WithTimeout(ctx, p.ReachLimit)
	defer cancel()
	client, err := kafka.NewClient(reach, cfg, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return nil, nil, err
	}
	bounds, err := resolve(reach, kadm.NewClient(client), topic, position)
	if err != nil {
		client.Close()
		if reach.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w (no answer within %v)", err, p.ReachLimit)
		}
		return nil, nil, err
	}
	offsets := map[int32]kgo.Offset{}
	for partition, b := range bounds {
		offsets[partition] = kgo.NewOffset().At(b.Start)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	return client, bounds, nil
}

func resolve(ctx context.Context, admin *kadm.Client, topic string, position from) (map[int32]kafka.Bound, error) {
	if _, err := kafka.Topic(ctx, admin, topic); err != nil {
		return nil, err
	}
	all, err := kafka.ReadBounds(ctx, admin, topic)
	if err != nil {
		return nil, err
	}
	bounds := all[topic]
	if len(bounds) == 0 {
		return nil, errors.New("topic " + topic + ": no partition")
	}
	var after kadm.ListedOffsets
	if !position.at.IsZero() {
		if after, err = admin.ListOffsetsAfterMilli(ctx, position.at.UnixMilli(), topic); err == nil {
			err = after.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("topic %s: find %v: %w", topic, position.at, err)
		}
	}
	for partition, b := range bounds {
		switch {
		case position.latest:
			b.Start = b.End
		case position.offset >= 0:
			b.Start = min(max(position.offset, b.Start), max(b.End, b.Start))
		case !position.at.IsZero():
			if o, ok := after.Lookup(topic, partition); ok && o.Offset >= 0 {
				b.Start = max(o.Offset, b.Start)
			}
		}
		bounds[partition] = b
	}
	return bounds, nil
}

type lineWriter struct {
	out       *bufio.Writer
	separator string
	written   int64
}

func (w *lineWriter) write(r *kgo.Record) { // an error stays in the writer until it is flushed
	if w.separator != "" {
		_, _ = w.out.Write(r.Key)
		_, _ = w.out.WriteString(w.separator)
	}
	_, _ = w.out.Write(r.Value)
	_ = w.out.WriteByte('\n')
	w.written++
}
