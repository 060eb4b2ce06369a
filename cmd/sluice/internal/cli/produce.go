package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// flushLimit is how long records that were read may take to be delivered after Ctrl-C.
const flushLimit = 10 * time.Second

func newProduce(p *Process) *cobra.Command {
	var flags kafkaFlags
	var topic, separator string
	cmd := &cobra.Command{
		Use:   "produce -t TOPIC [FILE]",
		Short: "Write lines to a topic, a record each",
		Long: `Writes the lines of a file, or of standard input, to a topic, a record each. With -k the part before the first
separator is the key; a line without the separator has no key. An empty part is an empty key or value, not a null one:
there is no way to write a tombstone. Records are delivered once, in order in each partition (an idempotent producer), and the number
delivered is told at the end.`,
		Example: "  sluice produce -t orders -k : orders.txt",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("sluice produce takes one FILE at most; got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if topic == "" {
				return usagef("-t: name the topic to write to")
			}
			cfg, err := flags.config(p, sluice.Config{})
			if err != nil {
				return err
			}
			in := p.Stdin
			if len(args) == 1 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return usage(err)
				}
				defer func() { _ = file.Close() }()
				in = file
			}
			return p.produce(cmd.Context(), cfg, topic, separator, in)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&topic, "topic", "t", "", "topic to write to (required)")
	cmd.Flags().StringVarP(&separator, "key-separator", "k", "", "what parts key and value in a line (default: no keys)")
	return cmd
}

func (p *Process) produce(ctx context.Context, cfg sluice.Config, topic, separator string, in io.Reader) error {
	if err := p.checkTopic(ctx, cfg, topic); err != nil {
		return err
	}
	producer, err := sluice.NewProducer(cfg.Producer())
	if err != nil {
		return configError(err)
	}
	d := delivery{}
	readErr := eachLine(ctx, in, func(number int64, line []byte) {
		record := &kgo.Record{Topic: topic, Value: line}
		if separator != "" {
			if key, value, found := bytes.Cut(line, []byte(separator)); found {
				record.Key, record.Value = key, value
			}
		}
		// Not with ctx: what was read is to be delivered, also after Ctrl-C.
		producer.Enqueue(context.WithoutCancel(ctx), record, func(_ *kgo.Record, err error) { d.done(number, err) })
	})
	flushCtx, cancel := p.closing(ctx)
	defer cancel()
	closeErr := producer.Close(flushCtx)
	return d.report(ctx, p, topic, readErr, closeErr)
}

// checkTopic sees within the limit that a broker answers and the topic is there; a producer alone would wait in silence.
func (p *Process) checkTopic(ctx context.Context, cfg sluice.Config, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, p.ReachLimit)
	defer cancel()
	client, err := kafka.NewClient(ctx, cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kafka.Topic(ctx, kadm.NewClient(client), topic)
	return err
}

// closing returns a context for the last flush: without a limit, unless ctx ended already; the second signal ends it.
func (p *Process) closing(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-out.Done():
			return
		case <-p.Abort:
			cancel()
			return
		case <-ctx.Done():
		}
		timer := time.NewTimer(flushLimit)
		defer timer.Stop()
		select {
		case <-out.Done():
		case <-p.Abort:
			cancel()
		case <-timer.C:
			cancel()
		}
	}()
	return out, cancel
}

// delivery counts what became of the lines.
type delivery struct {
	mu        sync.Mutex
	delivered int64
	failed    int64
	firstLine int64
	first     error
}

func (d *delivery) done(line int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.delivered++
		return
	}
	d.failed++
	if d.first == nil || line < d.firstLine {
		d.firstLine, d.first = line, err
	}
}

func (d *delivery) report(ctx context.Context, p *Process, topic string, errs ...error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.errorf("%d delivered to %s", d.delivered, topic)
	if d.failed > 0 {
		errs = append(errs, fmt.Errorf("%d lines were not delivered; the first is line %d: %w", d.failed, d.firstLine, d.first))
	}
	if ctx.Err() != nil {
		errs = append(errs, errors.New("stopped before the end of the input"))
	}
	return errors.Join(errs...)
}

// eachLine calls f with every line, numbered from 1 and without its end, until the end of the input or of ctx. A read that
// never returns does not keep it.
func eachLine(ctx context.Context, in io.Reader, f func(number int64, line []byte)) error {
	type result struct {
		line []byte
		err  error
	}
	lines := make(chan result, 256)
	go func() { // ends with the input, or, once ctx is done, with the read that is under way
		defer close(lines)
		r := bufio.NewReaderSize(in, 1<<16)
		for {
			line, err := r.ReadBytes('\n')
			if len(line) > 0 {
				select {
				case lines <- result{line: bytes.TrimSuffix(line, []byte("\n"))}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					select {
					case lines <- result{err: fmt.Errorf("read the input: %w", err)}:
					case <-ctx.Done():
					}
				}
				return
			}
		}
	}()
	for number := int64(1); ; number++ {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-lines:
			switch {
			case !ok:
				return nil
			case r.err != nil:
				return r.err
			}
			f(number, r.line)
		}
	}
}
