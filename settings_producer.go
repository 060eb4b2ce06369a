package sluice

import (
	"errors"
	"math"
	"strings"
	"time"
)

const (
	ofIdempotence  = "every write is idempotent and acknowledged by all in-sync replicas, which is what keeps order and loses nothing"
	ofPartitioner  = "a record without a key goes to a partition that changes with each batch, whatever the brokers' load"
	ofTransactions = "transactions are not supported; a sink with Offsets writes effects exactly once"
)

// producerSettings are those of Kafka's producers alone. They end in the ProducerConfig that Config.Producer returns.
var producerSettings = []setting{
	{
		name: "acks", of: producer, kind: aText, kafka: "all", accept: []string{"all", "-1"},
		refused: ofIdempotence + "; leave it out",
	},
	{
		name: "batch.size", of: producer, kind: bytes, kafka: "16384", field: "ProducerConfig.BatchBytes",
		ours: "1,000,000, or ProducerConfig.MaxRequestBytes where that is less",
		number: &number{
			at:    func(c *Config) any { return &c.producer.BatchBytes },
			unset: 1_000_000, low: 512, high: 1 << 30,
			why: "batches form by themselves while others are under way, so they cannot be switched off by 0",
		},
	},
	{
		name: "buffer.memory", of: producer, kind: bytes, kafka: "33554432", field: "ProducerConfig.MaxBufferedBytes",
		ours:   "32 MiB, or ProducerConfig.MaxRequestBytes where that is more",
		number: &number{at: func(c *Config) any { return &c.producer.MaxBufferedBytes }, unset: 32 << 20, low: 1, high: math.MaxInt64},
	},
	{
		name: "compression.gzip.level", of: producer, kind: aCount, kafka: "-1", field: "ProducerConfig.CompressionLevel",
		ours: "the codec's default", number: level(1, 9, "-1"),
	},
	{
		name: "compression.lz4.level", of: producer, kind: aCount, kafka: "9", field: "ProducerConfig.CompressionLevel",
		ours: "the codec's default", number: level(1, 9, ""),
	},
	{
		name: "compression.type", of: producer, kind: aText, kafka: "none", field: "ProducerConfig.Compression", ours: "none",
		set: func(c *Config, v string) error {
			for _, known := range []Compression{Uncompressed, Gzip, Snappy, LZ4, Zstd} {
				if v == string(known) {
					c.producer.Compression = known
					return nil
				}
			}
			return oneOf(v, "none", "gzip", "snappy", "lz4", "zstd")
		},
	},
	{
		name: "compression.zstd.level", of: producer, kind: aCount, kafka: "3", field: "ProducerConfig.CompressionLevel",
		ours: "the codec's default", number: level(1, 22, ""),
	},
	{
		name: "delivery.timeout.ms", of: producer, kind: milliseconds, kafka: "120000", field: "ProducerConfig.DeliveryTimeout",
		number: &number{
			at:    func(c *Config) any { return &c.producer.DeliveryTimeout },
			unset: int64(defaultDeliveryTimeout), low: int64(time.Millisecond), high: int64(longestOnWire),
		},
	},
	{
		name: "enable.idempotence", of: producer, kind: aBoolean, kafka: "true", accept: []string{"true"},
		refused: ofIdempotence + "; leave it out",
	},
	{name: "key.serializer", of: producer, kind: aClass, refused: "a record has bytes; a Topic encodes its values"},
	{
		name: "linger.ms", of: producer, kind: milliseconds, kafka: "5", field: "ProducerConfig.Linger", ours: "not at all",
		number: &number{at: func(c *Config) any { return &c.producer.Linger }, low: 0, high: int64(time.Minute)},
	},
	{
		name: "max.block.ms", of: producer, kind: milliseconds, kafka: "60000",
		refused: "Send and Enqueue wait for room as long as their context allows; give it a deadline",
	},
	{
		name: "max.in.flight.requests.per.connection", of: producer, kind: aCount, kafka: "5", accept: []string{"5"},
		refused: "order within a partition holds with several requests under way, since writes are idempotent; leave it out",
	},
	{
		name: "max.request.size", of: producer, kind: bytes, kafka: "1048576", field: "ProducerConfig.MaxRequestBytes",
		number: &number{at: func(c *Config) any { return &c.producer.MaxRequestBytes }, unset: 1 << 20, low: 1 << 10, high: 1 << 30},
	},
	{
		name: "metadata.max.idle.ms", of: producer, kind: milliseconds, kafka: "300000",
		refused: "a topic that was written to once stays known; make a producer for topics that come and go",
	},
	{
		name: "partitioner.adaptive.partitioning.enable", of: producer, kind: aBoolean, kafka: "true", accept: []string{"false"},
		refused: ofPartitioner + "; leave it out",
	},
	{
		name: "partitioner.availability.timeout.ms", of: producer, kind: milliseconds, kafka: "0", accept: []string{"0"},
		refused: ofPartitioner + "; leave it out",
	},
	{
		name: "partitioner.class", of: producer, kind: aClass, field: "ProducerConfig.Partitioner", ours: "murmur2", set: setPartitioner,
		note: "Java's RoundRobinPartitioner, or murmur2, sticky, round-robin, manual",
	},
	{
		name: "partitioner.ignore.keys", of: producer, kind: aBoolean, kafka: "false", field: "ProducerConfig.Partitioner", ours: "murmur2",
		accept: []string{"false"},
		set: func(c *Config, v string) error {
			if !strings.EqualFold(v, "true") {
				return oneOf(v, "true", "false")
			}
			if c.producer.Partitioner != "" {
				return errors.New("partitioner.class is given as well; give one of the two")
			}
			c.producer.Partitioner = StickyOnly
			return nil
		},
		note: "true is the partitioner sticky",
	},
	{
		name: "retries", of: producer, kind: aCount, kafka: "2147483647", accept: []string{"2147483647"},
		refused: "a record is tried until delivery.timeout.ms is over; a number of tries would say nothing about how long that is",
	},
	{name: "transaction.timeout.ms", of: producer, kind: milliseconds, kafka: "60000", refused: ofTransactions},
	{
		name: "transaction.two.phase.commit.enable", of: producer, kind: aBoolean, kafka: "false", accept: []string{"false"},
		refused: ofTransactions,
	},
	{name: "transactional.id", of: producer, kind: aText, refused: ofTransactions},
	{name: "value.serializer", of: producer, kind: aClass, refused: "a record has bytes; a Topic encodes its values"},
}

// level is a codec's own, from low to high; zero is the property's value for the codec's default.
func level(low, high int64, zero string) *number {
	return &number{at: func(c *Config) any { return &c.producer.CompressionLevel }, low: low, high: high, zero: zero}
}

// setPartitioner reads the names of Java's classes, and ours.
func setPartitioner(c *Config, v string) error {
	classes := map[string]Partitioner{
		"DefaultPartitioner": Murmur2, "RoundRobinPartitioner": RoundRobinRecords, "UniformStickyPartitioner": StickyOnly,
		"murmur2": Murmur2, "sticky": StickyOnly, "round-robin": RoundRobinRecords, "manual": ManualPartition,
	}
	p, ok := classes[strings.TrimPrefix(strings.TrimPrefix(v, "org.apache.kafka.clients.producer."), "internals.")]
	if !ok {
		return errors.New("a class of Java's cannot run here; give murmur2, sticky, round-robin or manual (then Record.Partition)")
	}
	c.producer.Partitioner = p
	return nil
}
