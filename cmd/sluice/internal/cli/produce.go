package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

const (
	// flushLimit is how long records that were read may take to be delivered after Ctrl-C.
	flushLimit = 10 * time.Second
	// produceDefaults hold where the properties say nothing: one record may take as long as with Kafka's own producer.
	produceDefaults = "delivery.timeout.ms=120000\n"
)

type produceOptions struct {
	topic       string
	separator   string
	format      string
	null        string
	headers     []string
	partition   int32
	repartition bool
	compression string
	rate        float64
	output      string
}

func newProduce(p *Process) *cobra.Command {
	flags := kafkaFlags{defaults: produceDefaults}
	var o produceOptions
	cmd := &cobra.Command{
		Use:   "produce -t TOPIC [FILE]",
		Short: "Write lines to a topic, a record each",
		Long: `Writes the lines of a file, or of standard input, to a topic, a record each.

With -f lines, the default, a line is a value; of a line that ends in CRLF the CR stays in it. With -k the part before the
first separator is the key; a line without the separator has no key. An empty part is an empty key or value, not a null
one; with --null TEXT a key or a value that is TEXT is null, and a record with a null value is a tombstone.

With -f json a line is a record as sluice consume -o json prints it:

  {"topic":"orders","partition":0,"timestamp":"2026-01-31T08:00:00.123Z","key":"k","value":"v",
   "headers":[{"key":"trace","value":"1"}]}

Every field may be left out; offset is read over. null is a null key or value. key_base64 and value_base64, in place of
key and value, hold bytes that are not UTF-8. A key or a value that is a JSON object or number is sent as its text. A
timestamp lies between 1677-09-22 and 2262-04-11. A partition is kept, or left to the key with --repartition; -t,
--partition and --header go before what the line says. A line that is wrong ends it: what was read before is delivered,
and the line is told.

Records are delivered once, in order in each partition (an idempotent producer), and the number delivered is told at the
end. Ctrl-C delivers what was read, says how much that was, and ends with 1; a second one waits for nothing. A record that
is too large is left out and told; when the brokers do not take records any more, it ends.`,
		Example: `  sluice produce -t orders orders.txt
  sluice produce -t orders -k : --null NULL orders.txt
  sluice produce -t orders --header source=import --compression zstd:3 --rate 500 orders.txt
  jq -c '{key: .id, value: .}' orders.json | sluice produce -t orders -f json
  sluice consume -t orders -e -o json | sluice produce -t copy -f json --repartition`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("sluice produce takes one FILE at most; got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := o.check(cmd.Flags().Changed("null"))
			if err != nil {
				return err
			}
			cfg, err := flags.config(p, sluice.Config{})
			if err != nil {
				return err
			}
			producer, err := o.producer(cfg)
			if err != nil {
				return err
			}
			job := produceJob{Process: p, cfg: cfg, producing: producer, options: o, input: in, reader: p.Stdin}
			in.name = "standard input"
			if len(args) == 1 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return usage(err)
				}
				defer func() { _ = file.Close() }()
				in.name, job.reader = args[0], file
			}
			return job.run(cmd.Context())
		},
	}
	flags.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.topic, "topic", "t", "", "topic to write to (required, unless the lines of -f json name theirs)")
	f.StringVarP(&o.format, "format", "f", "lines", "what a line is: lines or json")
	f.StringVarP(&o.separator, "key-separator", "k", "", `what parts key and value in a line, as in : or \t (default: no keys)`)
	f.StringVar(&o.null, "null", "", "what stands for a null key or value in a line (default: nothing does)")
	f.StringArrayVar(&o.headers, "header", nil, "header of every record, key=value (may be given again)")
	f.Int32Var(&o.partition, "partition", -1, "partition to write to (default: by key)")
	f.Lookup("partition").DefValue = "0" // not shown: -1 is nothing to give
	f.BoolVar(&o.repartition, "repartition", false, "with -f json: partitions by key, whatever the lines say")
	f.StringVar(&o.compression, "compression", "", "none, gzip, snappy, lz4 or zstd, with a level as in zstd:3 (default: none)")
	f.Float64Var(&o.rate, "rate", 0, "records a second at most (default: as fast as it goes)")
	f.StringVarP(&o.output, "output", "o", "text", "how the result is told: text, or json on standard output")
	return cmd
}

func (o *produceOptions) check(hasNull bool) (*input, error) {
	in := &input{
		json: o.format == "json", topic: o.topic, separator: []byte(separators.Replace(o.separator)),
		partition: o.partition, repartition: o.repartition,
	}
	if hasNull {
		in.null = &o.null
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, usagef(format, args...)) }
	switch o.format {
	case "json":
		if o.separator != "" || hasNull {
			bad("-k, --null: for -f lines; JSON says itself what is a key, and null")
		}
	case "lines":
		if o.topic == "" {
			bad("-t: name the topic to write to")
		}
		if o.repartition {
			bad("--repartition: for -f json; lines have no partition")
		}
	default:
		bad("-f %q: neither lines nor json", o.format)
	}
	if o.partition < -1 {
		bad("--partition %d: give a partition's number, from 0", o.partition)
	}
	if o.partition >= 0 && o.repartition {
		bad("--partition, --repartition: one of them")
	}
	if !(o.rate == 0 || o.rate >= slowest) { // nor NaN
		bad("--rate %v: give records a second, %v or more", o.rate, slowest)
	}
	if o.output != "text" && o.output != "json" {
		bad("-o %q: neither text nor json", o.output)
	}
	for _, h := range o.headers {
		key, value, found := strings.Cut(h, "=")
		if !found || key == "" {
			bad("--header %q: give key=value", h)
		}
		in.headers = append(in.headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	return in, errors.Join(errs...)
}

// producer is the library's configuration; what the command line says goes before a file's properties.
func (o *produceOptions) producer(cfg sluice.Config) (sluice.ProducerConfig, error) {
	out := cfg.Producer()
	if o.compression != "" {
		codec, level, leveled := strings.Cut(o.compression, ":")
		out.Compression, out.CompressionLevel = sluice.Compression(codec), 0
		switch out.Compression {
		case sluice.Uncompressed, sluice.Gzip, sluice.Snappy, sluice.LZ4, sluice.Zstd:
		default:
			return out, usagef("--compression %q: none of none, gzip, snappy, lz4 and zstd", codec)
		}
		if leveled {
			n, err := strconv.Atoi(level)
			if err != nil {
				return out, usagef("--compression %q: the level is not a number", o.compression)
			}
			out.CompressionLevel = n
		}
	}
	return out, nil
}

// produceJob is one run of the command.
type produceJob struct {
	*Process

	cfg       sluice.Config
	producing sluice.ProducerConfig
	options   produceOptions
	input     *input
	reader    io.Reader

	partitions map[string]int // of the topics that were looked at
	admin      *kadm.Client
	producer   *sluice.Producer
}

func (j *produceJob) run(ctx context.Context) error {
	stop, err := j.open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before anything was sent")
		}
		return err
	}
	defer stop()
	if file, ok := j.reader.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		j.errorf("reading records from the terminal, a line each; Ctrl-D on an empty line ends the input")
	}
	g := &gauge{name: j.input.name, unit: "delivered"}
	if info, ok := j.reader.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := info.Stat(); err == nil && info.Mode().IsRegular() {
			g.whole = info.Size()
		}
	}
	d := &delivery{began: time.Now(), gauge: g}
	// Not with ctx: what was read is to be delivered, also after Ctrl-C.
	sending, cancel := j.closing(ctx)
	defer cancel()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	d.giveUp = stopReading
	pace := pace{perSecond: j.options.rate}
	stopShowing := j.show(g)
	readErr := eachLine(reading, j.reader, func(number int64, line []byte) error {
		record, err := j.input.record(number, line)
		if err != nil || record == nil {
			return err
		}
		if err := j.target(reading, number, record); err != nil {
			return err
		}
		if pace.wait(reading); reading.Err() != nil {
			return errStopped
		}
		d.sending(number, record.Topic)
		j.producer.Enqueue(sending, record, func(_ *kgo.Record, err error) { d.done(number, err) })
		g.done.Add(int64(len(line)) + 1)
		return nil
	})
	var closeErr error
	if j.producer != nil {
		closeErr = j.producer.Close(sending)
	}
	stopShowing()
	return d.report(ctx, j.Process, j.options.output == "json", readErr, closeErr)
}

// open sees within the limit that a broker answers and the topic is there; a producer alone would wait in silence.
func (j *produceJob) open(ctx context.Context) (stop func(), err error) {
	reach, cancel := context.WithTimeout(ctx, j.ReachLimit)
	defer cancel()
	client, err := kafka.NewClient(reach, j.cfg)
	if err != nil {
		return nil, err
	}
	j.partitions, j.admin = map[string]int{}, kadm.NewClient(client)
	if j.options.topic != "" {
		if _, err = j.countPartitions(ctx, j.options.topic); err != nil {
			client.Close()
			return nil, err
		}
	}
	return client.Close, nil
}

func (j *produceJob) countPartitions(ctx context.Context, topic string) (int, error) {
	if n, known := j.partitions[topic]; known {
		return n, nil
	}
	reach, cancel := context.WithTimeout(ctx, j.ReachLimit)
	defer cancel()
	partitions, err := kafka.Topic(reach, j.admin, topic)
	if err != nil {
		return 0, err
	}
	j.partitions[topic] = len(partitions)
	return len(partitions), nil
}

// target sees to it that a record's topic and partition are there, and makes the producer for the first one.
func (j *produceJob) target(ctx context.Context, number int64, r *kgo.Record) error {
	n, err := j.countPartitions(ctx, r.Topic)
	switch {
	case ctx.Err() != nil:
		return errStopped
	case err != nil:
		return j.input.lineError(number, err)
	}
	manual := j.input.manual || j.input.partition >= 0
	if manual && int(r.Partition) >= n {
		hint := ""
		if j.input.partition < 0 {
			hint = "; --repartition leaves it to the key"
		}
		return j.input.lineError(number, fmt.Errorf("topic %s has no partition %d: its last one is %d%s", r.Topic, r.Partition, n-1, hint))
	}
	if j.producer == nil {
		if manual {
			j.producing.Partitioner = sluice.ManualPartition
		}
		if j.producer, err = sluice.NewProducer(j.producing); err != nil {
			return configError(err)
		}
	}
	return nil
}

// closing returns a context for what is to be done to the end: without a limit until ctx ends, then with one; the second signal
// ends it.
func (p *Process) closing(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-out.Done():
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
