package sluice_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// mistakesOf are the mistakes that an error joins.
func mistakesOf(t *testing.T, err error) []*sluice.ConfigError {
	t.Helper()
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatalf("not joined: %v", err)
	}
	var out []*sluice.ConfigError
	for _, e := range joined.Unwrap() {
		one, ok := errors.AsType[*sluice.ConfigError](e)
		if !ok {
			t.Fatalf("%T: %v", e, e)
		}
		out = append(out, one)
	}
	return out
}

func TestMistakesOfAProducerAreToldAtOnce(t *testing.T) {
	_, err := sluice.NewProducer(sluice.ProducerConfig{
		BatchBytes: 2 << 20, BatchRecords: 10, ClientOptions: []kgo.Opt{kgo.ProducerLinger(time.Second)}, Compression: "zst", DeliveryTimeout: -1,
		Partitioner: "murmur",
	})
	var fields []string
	for _, e := range mistakesOf(t, err) {
		fields = append(fields, e.Field)
	}
	slices.Sort(fields)
	want := []string{
		"Brokers", "ClientOptions", "ProducerConfig.BatchBytes", "ProducerConfig.BatchRecords", "ProducerConfig.Compression",
		"ProducerConfig.DeliveryTimeout", "ProducerConfig.Partitioner",
	}
	if !slices.Equal(fields, want) || !errors.Is(err, sluice.ErrConfig) {
		t.Errorf("mistakes in %v, want %v:\n%v", fields, want, err)
	}
}

func TestAProducersMistakesNamePropertyAndWayOut(t *testing.T) {
	for text, cfg := range map[string]sluice.ProducerConfig{
		"batch.size (ProducerConfig.BatchBytes): \"2097152\": is above ProducerConfig.MaxRequestBytes (max.request.size), 1048576":            {BatchBytes: 2 << 20},
		"batch.size (ProducerConfig.BatchBytes): \"100\": accepted are 512 to 1073741824 bytes":                                               {BatchBytes: 100},
		"ProducerConfig.BatchRecords: \"-2\": is negative":                                                                                    {BatchRecords: -2},
		"ProducerConfig.BatchRecords: \"5\": has no effect without ProducerConfig.Linger (linger.ms)":                                         {BatchRecords: 5},
		"compression.type (ProducerConfig.Compression): \"gzpi\": is none of none, gzip, snappy, lz4 and zstd; did you mean gzip?":            {Compression: "gzpi"},
		"ProducerConfig.CompressionLevel): \"10\": accepted are 1 to 9 for gzip":                                                              {Compression: sluice.Gzip, CompressionLevel: 10},
		"ProducerConfig.CompressionLevel): \"-1\": accepted are 1 to 22 for zstd":                                                             {Compression: sluice.Zstd, CompressionLevel: -1},
		"ProducerConfig.CompressionLevel): \"3\": snappy has no levels":                                                                       {Compression: sluice.Snappy, CompressionLevel: 3},
		"ProducerConfig.CompressionLevel): \"4\": none has no levels":                                                                         {CompressionLevel: 4},
		"delivery.timeout.ms (ProducerConfig.DeliveryTimeout): \"-1s\": accepted are 1ms to":                                                  {DeliveryTimeout: -time.Second},
		"linger.ms (ProducerConfig.Linger): \"30s\": is not below ProducerConfig.DeliveryTimeout (delivery.timeout.ms), 30s":                  {Linger: 30 * time.Second},
		"buffer.memory (ProducerConfig.MaxBufferedBytes): \"1000\": is below ProducerConfig.MaxRequestBytes":                                  {MaxBufferedBytes: 1000},
		"max.request.size (ProducerConfig.MaxRequestBytes): \"10\": accepted are 1024 to":                                                     {MaxRequestBytes: 10},
		"partitioner.class (ProducerConfig.Partitioner): \"stick\": is none of murmur2, sticky, round-robin and manual; did you mean sticky?": {Partitioner: "stick"},
		"Network.DialTimeout":                               {Network: sluice.Network{DialTimeout: -5}},
		"kgo.RecordRetries belongs to the producer":         {ClientOptions: []kgo.Opt{kgo.RecordRetries(3)}},
		"kgo.MaxBufferedRecords belongs to the producer":    {ClientOptions: []kgo.Opt{kgo.MaxBufferedRecords(3)}},
		"kgo.ProducerBatchMaxBytes belongs to the producer": {ClientOptions: []kgo.Opt{kgo.ProducerBatchMaxBytes(3)}},
	} {
		cfg.Brokers = []string{"127.0.0.1:1"}
		p, err := sluice.NewProducer(cfg)
		if p != nil || err == nil || len(mistakesOf(t, err)) != 1 || !strings.Contains(err.Error(), text) {
			t.Errorf("got  %v\nwant %s", err, text)
		}
	}
}

func TestDefaultsOfAProducerFollowEachOther(t *testing.T) {
	for _, cfg := range []sluice.ProducerConfig{
		{MaxRequestBytes: 10_000},   // batches are no larger
		{MaxRequestBytes: 64 << 20}, // the buffer is as large
		{Compression: sluice.Zstd, CompressionLevel: 22},
		{Linger: time.Second, BatchRecords: 100},
	} {
		cfg.Brokers = []string{"127.0.0.1:1"}
		p, err := sluice.NewProducer(cfg)
		if err != nil {
			t.Errorf("%+v: %v", cfg, err)
			continue
		}
		closeProducer(t, p)
	}
}
