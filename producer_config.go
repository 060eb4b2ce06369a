package sluice

import (
	"crypto/tls"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ProducerConfig is what a Producer needs to know. Brokers is required. NewProducer checks all of it at once.
type ProducerConfig struct {
	// Brokers are the addresses of some brokers, host:port. Required.
	Brokers []string

	// BatchBytes bounds a batch of one partition before compression (batch.size), and so a record: unlike in Java, a larger one
	// gets no batch of its own. It must not be above the topic's max.message.bytes: brokers refuse larger batches, and what
	// waits behind one fails with it. At most MaxRequestBytes. Zero: 1,000,000, or MaxRequestBytes where that is less.
	BatchBytes int32

	// BatchRecords ends Linger early: no more than this many records wait for it. It is no upper bound, as a batch also grows
	// while those before it are under way. Needs Linger. Zero: only BatchBytes and Linger count.
	BatchRecords int

	// ClientID is what brokers log and quotas know this client by. Zero: "sluice".
	ClientID string

	// ClientOptions are given to the Kafka client as they are: the way out for what has no field here. Options that the
	// producer owns are refused by name.
	ClientOptions []kgo.Opt

	// Compression of batches (compression.type). Zero: Uncompressed. CompressionLevel is the codec's own level
	// (compression.gzip.level, .lz4.level, .zstd.level): 1 to 9 for gzip and lz4, 1 to 22 for zstd, which has four speeds in
	// Go. Zero: the codec's default.
	Compression      Compression
	CompressionLevel int

	// DeliveryTimeout is how long a record may take from the moment it has room in the buffer to its acknowledgement
	// (delivery.timeout.ms); then it fails with ErrDeliveryTimeout, a few seconds later at the most, while brokers cannot be
	// reached. It also bounds the wait for room. Zero: 30 s.
	DeliveryTimeout time.Duration

	// Linger is how long a batch waits for more records (linger.ms), also those of Send. It must be below DeliveryTimeout. Zero:
	// not at all; batches form by themselves while others are under way.
	Linger time.Duration

	// MaxBufferedBytes bounds keys, values, headers and 200 bytes a record of what has no answer yet, or whose callback has not
	// returned (buffer.memory); over it Send and Enqueue wait, for as long as their context allows. At least MaxRequestBytes.
	// Zero: 32 MiB, or MaxRequestBytes where that is more.
	MaxBufferedBytes int64

	// MaxRequestBytes bounds one request with all its batches, and so a record (max.request.size). Zero: 1 MiB.
	MaxRequestBytes int32

	// Network says how connections are made and kept.
	Network Network

	// Partitioner chooses the partition of a record. Zero: Murmur2, as Kafka's Java clients.
	Partitioner Partitioner

	// SASL is how to log in. Nil: not at all.
	SASL *SASL

	// TLS makes every connection TLS. Nil: plain text, unless there are TLSFiles. An empty tls.Config trusts the system's authorities.
	TLS *tls.Config

	// TLSFiles are certificates in files, which may be replaced while the producer lives. They make every connection TLS, too. Zero: none.
	TLSFiles TLSFiles
}

const (
	defaultBatchBytes      = 1_000_000
	defaultBufferedBytes   = 32 << 20
	defaultDeliveryTimeout = 30 * time.Second
)

// withDefaults checks a configuration, all of it at once, and puts the defaults in the place of zeros.
func (c ProducerConfig) withDefaults() (ProducerConfig, error) {
	var m mistakes
	given := c
	checkProducerNumbers(&c, &m)
	if given.BatchBytes == 0 {
		c.BatchBytes = min(defaultBatchBytes, c.MaxRequestBytes)
	}
	if given.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = max(defaultBufferedBytes, int64(c.MaxRequestBytes))
	}
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if c.Partitioner == "" {
		c.Partitioner = Murmur2
	}
	c.connection().check(&m)
	c.checkCompression(&m)
	c.checkPartitioner(&m)
	c.checkSizes(&m)
	if c.Linger >= c.DeliveryTimeout {
		m.add("ProducerConfig.Linger", shortDuration(c.Linger), fmt.Sprintf("is not below ProducerConfig.DeliveryTimeout "+
			"(delivery.timeout.ms), %v: a record would time out while it waits; lower it, or raise that", shortDuration(c.DeliveryTimeout)),
			"ProducerConfig.DeliveryTimeout")
	}
	if name := optionNamed(c.ClientOptions, ownedByProducer...); name != "" {
		m.add("ClientOptions", "", "kgo."+name+" belongs to the producer; use the field of ProducerConfig that stands for it")
	}
	return c, m.err()
}

// checkProducerNumbers judges each number by itself, and puts the defaults in the place of zeros. What a level may be depends on
// the codec: see checkCompression.
func checkProducerNumbers(c *ProducerConfig, m *mistakes) {
	all := Config{Network: c.Network, producer: *c}
	for i := range settings {
		if s := &settings[i]; s.number != nil && s.of&producer != 0 && s.field != "ProducerConfig.CompressionLevel" {
			s.check(&all, m)
		}
	}
	all.Network.follow()
	*c = all.producer
	c.Network = all.Network
	if c.BatchRecords < 0 {
		m.add("ProducerConfig.BatchRecords", strconv.Itoa(c.BatchRecords), "is negative; give how many records may wait for Linger, or 0")
	}
}

// checkSizes judges sizes against each other.
func (c ProducerConfig) checkSizes(m *mistakes) {
	if c.BatchBytes > c.MaxRequestBytes {
		m.add("ProducerConfig.BatchBytes", strconv.Itoa(int(c.BatchBytes)), fmt.Sprintf("is above ProducerConfig.MaxRequestBytes "+
			"(max.request.size), %d: no request could take such a batch; lower it, or raise that", c.MaxRequestBytes),
			"ProducerConfig.MaxRequestBytes")
	}
	if c.MaxBufferedBytes < int64(c.MaxRequestBytes) {
		m.add("ProducerConfig.MaxBufferedBytes", strconv.FormatInt(c.MaxBufferedBytes, 10), fmt.Sprintf("is below "+
			"ProducerConfig.MaxRequestBytes (max.request.size), %d: the largest record would never have room; raise it, or lower that",
			c.MaxRequestBytes),
			"ProducerConfig.MaxRequestBytes")
	}
	if c.BatchRecords > 0 && c.Linger == 0 {
		m.add("ProducerConfig.BatchRecords", strconv.Itoa(c.BatchRecords),
			"has no effect without ProducerConfig.Linger (linger.ms): nothing waits then; give Linger, or leave it out",
			"ProducerConfig.Linger")
	}
}

// ownedByProducer are the options of kgo that the producer sets, or that would break what it promises.
var ownedByProducer = []string{
	"AllowIdempotentProduceCancellation", "AlwaysRetryEOF", "BrokerMaxWriteBytes", "ConsumePartitions", "ConsumeTopics", "ConsumerGroup",
	"DefaultProduceTopic", "DefaultProduceTopicAlways", "DisableIdempotentWrite", "ManualFlushing", "MaxBufferedBytes",
	"MaxBufferedRecords", "MaxProduceRequestsInflightPerBroker", "ProduceRequestTimeout", "ProducerBatchCompression",
	"ProducerBatchMaxBytes", "ProducerBatchMaxBytesFn", "ProducerLinger", "RecordDeliveryTimeout", "RecordPartitioner",
	"RecordRetries", "RequiredAcks", "SeedBrokers", "ShareGroup", "StopProducerOnDataLossDetected", "TransactionalID",
	"UnknownTopicRetries", "WithCompressor", "WithContext",
}

// produceOptions are what the client of a producer has beside what every client of ours has.
func (c ProducerConfig) produceOptions() []kgo.Opt {
	return append(c.connectOptions(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Without it a record whose connection broke before its answer would be tried for ever: seen with a broker that never
		// came back. Cancelled, the client bumps its epoch, so that what comes later can be neither lost nor reordered by it.
		kgo.AllowIdempotentProduceCancellation(),
		// A connection that ends before its first answer fails, without it, all that waits for its broker at once, also while a
		// broker or a proxy restarts.
		kgo.AlwaysRetryEOF(),
		kgo.BrokerMaxWriteBytes(c.MaxRequestBytes),
		kgo.MaxBufferedRecords(math.MaxInt), // the outbox has the bound
		kgo.ProducerBatchMaxBytes(c.BatchBytes),
		kgo.ProducerLinger(c.Linger),
		c.compression(),
		c.partitioner(),
		kgo.UnknownTopicRetries(-1), // see outbox.meet
	)
}

// recordLimits are how large a record may be.
func (c ProducerConfig) recordLimits() recordLimits {
	const request = 41 // what surrounds the one batch of a request, without names
	return recordLimits{batch: int(c.BatchBytes), request: int(c.MaxRequestBytes) - request - len(c.ClientID)}
}
