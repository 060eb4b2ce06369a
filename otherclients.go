package sluice

import "strings"

// foreignName is a setting of another client, with what it is here.
type foreignName struct{ client, name, answer string }

// otherClients answers the name of another client's setting; "" where it is none.
func otherClients(name string) string {
	for _, f := range foreignNames {
		if strings.EqualFold(f.name, strings.TrimPrefix(name, "config.")) {
			return "a name of " + f.client + "; " + f.answer
		}
	}
	return ""
}

const (
	here          = "here it is "
	commitsItself = "leave it out: " + ofCommits + ", and Policy.Commit says when"
	byProtocol    = "here security.protocol says it: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
	noQueue       = "a number of records says nothing about memory; here Config.MaxBufferedBytes bounds it, in code"
	noTries       = "here a record is tried until delivery.timeout.ms is over"
	lingerEnds    = here + "ProducerConfig.BatchRecords, in code: so many records end linger.ms early; batch.size is in bytes"
	sayItYourself = "leave it out: " + ofCommits + ". To say yourself when a record is finished, use Policy.Commit: Manual and Message.Done"
	ownHandler    = "errors are told by Events and by the logger; nothing has to be read for the client to go on"
)

// foreignNames are those of the clients that Go programs come from, and of librdkafka, whose files look like Kafka's.
var foreignNames = []foreignName{
	{"sarama", "ChannelBufferSize", noQueue},
	{"sarama", "ClientID", here + "client.id"},
	{"sarama", "Consumer.Fetch.Default", here + "max.partition.fetch.bytes"},
	{"sarama", "Consumer.Fetch.Max", here + "fetch.max.bytes"},
	{"sarama", "Consumer.Fetch.Min", here + "fetch.min.bytes"},
	{"sarama", "Consumer.Group.Heartbeat.Interval", here + "heartbeat.interval.ms"},
	{"sarama", "Consumer.Group.InstanceId", here + "group.instance.id"},
	{"sarama", "Consumer.Group.Rebalance.GroupStrategies", here + "partition.assignment.strategy"},
	{"sarama", "Consumer.Group.Rebalance.Strategy", here + "partition.assignment.strategy"},
	{"sarama", "Consumer.Group.Rebalance.Timeout", here + "max.poll.interval.ms"},
	{"sarama", "Consumer.Group.Session.Timeout", here + "session.timeout.ms"},
	{"sarama", "Consumer.IsolationLevel", here + "isolation.level"},
	{"sarama", "Consumer.MaxProcessingTime", "a slow handler blocks nothing here; Policy.Timeout bounds it"},
	{"sarama", "Consumer.MaxWaitTime", here + "fetch.max.wait.ms"},
	{"sarama", "Consumer.Offsets.AutoCommit.Enable", commitsItself},
	{"sarama", "Consumer.Offsets.AutoCommit.Interval", commitsItself},
	{"sarama", "Consumer.Offsets.CommitInterval", commitsItself},
	{"sarama", "Consumer.Offsets.Initial", here + "auto.offset.reset"},
	{"sarama", "Consumer.Retry.Backoff", here + "retry.backoff.ms"},
	{"sarama", "Consumer.Return.Errors", ownHandler},
	{"sarama", "Metadata.RefreshFrequency", here + "metadata.max.age.ms"},
	{"sarama", "Metadata.Retry.Backoff", here + "retry.backoff.ms"},
	{"sarama", "Net.DialTimeout", here + "socket.connection.setup.timeout.ms"},
	{"sarama", "Net.KeepAlive", here + "Config.Network.KeepAlive, in code"},
	{"sarama", "Net.MaxOpenRequests", "leave it out: order holds with several requests under way, since writes are idempotent"},
	{"sarama", "Net.ReadTimeout", here + "request.timeout.ms"},
	{"sarama", "Net.SASL.Enable", byProtocol},
	{"sarama", "Net.SASL.Mechanism", here + "sasl.mechanism"},
	{"sarama", "Net.SASL.Password", here + "sasl.jaas.config"},
	{"sarama", "Net.SASL.User", here + "sasl.jaas.config"},
	{"sarama", "Net.TLS.Config", here + "ssl.truststore.location and its like, or Config.TLS, in code"},
	{"sarama", "Net.TLS.Enable", byProtocol},
	{"sarama", "Net.WriteTimeout", here + "request.timeout.ms"},
	{"sarama", "Producer.Compression", here + "compression.type"},
	{"sarama", "Producer.CompressionLevel", here + "compression.gzip.level, compression.lz4.level or compression.zstd.level"},
	{"sarama", "Producer.Flush.Bytes", here + "batch.size"},
	{"sarama", "Producer.Flush.Frequency", here + "linger.ms"},
	{"sarama", "Producer.Flush.MaxMessages", "a number of records says nothing about size; " + here + "batch.size, in bytes"},
	{"sarama", "Producer.Flush.Messages", lingerEnds},
	{"sarama", "Producer.Idempotent", "leave it out: every write is idempotent"},
	{"sarama", "Producer.MaxMessageBytes", here + "max.request.size"},
	{"sarama", "Producer.Partitioner", here + "partitioner.class"},
	{"sarama", "Producer.RequiredAcks", "leave it out: every write is acknowledged by all in-sync replicas"},
	{"sarama", "Producer.Retry.Backoff", here + "retry.backoff.ms"},
	{"sarama", "Producer.Retry.Max", noTries},
	{"sarama", "Producer.Return.Errors", "each record tells its own outcome: Send returns it, Enqueue calls back"},
	{"sarama", "Producer.Return.Successes", "each record tells its own outcome: Send returns it, Enqueue calls back"},
	{"sarama", "Producer.Timeout", here + "delivery.timeout.ms"},
	{"sarama", "RackID", here + "client.rack"},

	{"librdkafka", "auto.commit.enable", commitsItself},
	{"librdkafka", "batch.num.messages", "a number of records says nothing about size; " + here + "batch.size, in bytes"},
	{"librdkafka", "broker.address.ttl", "names are looked up for each connection"},
	{"librdkafka", "brokers", here + "bootstrap.servers"},
	{"librdkafka", "compression.codec", here + "compression.type"},
	{"librdkafka", "compression.level", here + "compression.gzip.level, compression.lz4.level or compression.zstd.level"},
	{"librdkafka", "enable.auto.offset.store", sayItYourself},
	{"librdkafka", "enable.partition.eof", "lag tells it: see App.Health"},
	{"librdkafka", "enable.ssl.certificate.verification", "certificates are always checked; ssl.truststore.location says whom to trust"},
	{"librdkafka", "fetch.error.backoff.ms", here + "retry.backoff.ms"},
	{"librdkafka", "fetch.message.max.bytes", here + "max.partition.fetch.bytes"},
	{"librdkafka", "fetch.queue.backoff.ms", noQueue},
	{"librdkafka", "fetch.wait.max.ms", here + "fetch.max.wait.ms"},
	{"librdkafka", "go.application.rebalance.enable", "partitions are handed over by the engine itself; Events tells of them"},
	{"librdkafka", "go.events.channel.size", noQueue},
	{"librdkafka", "go.produce.channel.size", "a producer's buffer is bounded in bytes: buffer.memory"},
	{"librdkafka", "max.in.flight", here + "max.in.flight.requests.per.connection, which is best left out"},
	{"librdkafka", "message.max.bytes", here + "max.request.size"},
	{"librdkafka", "message.send.max.retries", noTries},
	{"librdkafka", "message.timeout.ms", here + "delivery.timeout.ms"},
	{"librdkafka", "metadata.broker.list", here + "bootstrap.servers"},
	{"librdkafka", "offset.store.method", "offsets are kept by the group, or by a sink with Offsets"},
	{"librdkafka", "partitioner", here + "partitioner.class"},
	{"librdkafka", "queue.buffering.max.kbytes", here + "buffer.memory, in bytes"},
	{"librdkafka", "queue.buffering.max.messages", "a number of records says nothing about memory; " + here + "buffer.memory, in bytes"},
	{"librdkafka", "queue.buffering.max.ms", here + "linger.ms"},
	{"librdkafka", "queued.max.messages.kbytes", here + "Config.MaxBufferedBytes, in code, in bytes and for all partitions together"},
	{"librdkafka", "queued.min.messages", noQueue},
	{"librdkafka", "request.required.acks", "leave it out: every write is acknowledged by all in-sync replicas"},
	{"librdkafka", "sasl.mechanisms", here + "sasl.mechanism"},
	{"librdkafka", "socket.blocking.max.ms", "leave it out: nothing is polled by hand"},
	{"librdkafka", "socket.keepalive.enable", "probes are sent every 15 s; in code, Config.Network.KeepAlive sets or stops them"},
	{"librdkafka", "socket.receive.buffer.bytes", here + "receive.buffer.bytes"},
	{"librdkafka", "socket.send.buffer.bytes", here + "send.buffer.bytes"},
	{"librdkafka", "socket.timeout.ms", here + "request.timeout.ms"},
	{"librdkafka", "ssl.certificate.pem", here + "ssl.keystore.certificate.chain"},
	{"librdkafka", "ssl.key.pem", here + "ssl.keystore.key"},
	{"librdkafka", "statistics.interval.ms", ofOthers},
	{"librdkafka", "sticky.partitioning.linger.ms", "the partition changes with each batch; linger.ms says how long one is"},
	{"librdkafka", "topic.metadata.refresh.interval.ms", here + "metadata.max.age.ms"},

	{"kafka-go", "Async", "Send waits for the acknowledgement, Enqueue does not and calls back"},
	{"kafka-go", "Balancer", here + "partitioner.class"},
	{"kafka-go", "BatchBytes", here + "batch.size"},
	{"kafka-go", "BatchSize", lingerEnds},
	{"kafka-go", "BatchTimeout", here + "linger.ms"},
	{"kafka-go", "Brokers", here + "bootstrap.servers"},
	{"kafka-go", "CommitInterval", commitsItself},
	{"kafka-go", "GroupBalancers", here + "partition.assignment.strategy"},
	{"kafka-go", "GroupID", here + "group.id"},
	{"kafka-go", "HeartbeatInterval", here + "heartbeat.interval.ms"},
	{"kafka-go", "IsolationLevel", here + "isolation.level"},
	{"kafka-go", "MaxAttempts", "requests are tried again by themselves; a handler's attempts are Policy.Retry.MaxAttempts"},
	{"kafka-go", "MaxBytes", here + "fetch.max.bytes"},
	{"kafka-go", "MaxWait", here + "fetch.max.wait.ms"},
	{"kafka-go", "MinBytes", here + "fetch.min.bytes"},
	{"kafka-go", "PartitionWatchInterval", here + "metadata.max.age.ms"},
	{"kafka-go", "QueueCapacity", noQueue},
	{"kafka-go", "RebalanceTimeout", here + "max.poll.interval.ms"},
	{"kafka-go", "RequiredAcks", "leave it out: every write is acknowledged by all in-sync replicas"},
	{"kafka-go", "SessionTimeout", here + "session.timeout.ms"},
	{"kafka-go", "StartOffset", here + "auto.offset.reset"},
	{"kafka-go", "WatchPartitionChanges", "new partitions are always noticed, after metadata.max.age.ms at the latest"},
	{"kafka-go", "WriteTimeout", here + "request.timeout.ms"},
}
