package sluice

import (
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// connectOptions are what every client of ours has.
func (c Config) connectOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.SoftwareNameAndVersion("sluice", "dev"),
		kgo.DialTimeout(checkTimeout),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.FetchMaxWait(fetchMaxWait),
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	if c.SASL != nil {
		if m, err := c.SASL.mechanism(); err == nil { // checked by New
			opts = append(opts, kgo.SASL(m))
		}
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS.Clone()))
	}
	return append(opts, c.ClientOptions...)
}

// fetchMaxWait is how long a broker may wait for something to answer a fetch with, Kafka's default. kgo's own is 5 s: a
// partition that was paused and resumed is in no fetch until the one in flight has come back, which may be one for partitions
// that have nothing (seen as 3 s without a commit while 40,000 records were waiting).
const fetchMaxWait = 500 * time.Millisecond

// retryBackoff is the client's wait before it asks again: 20 ms, doubled up to 2.5 s, less up to a fifth. It begins lower than
// kgo's own 250 ms: when partitions leave, kgo ends the fetch in flight with its connection, and a fetch for those that stay
// may meet that dying connection and wait for this (seen as a gap of 296 ms once in nine rebalances; now 20).
func retryBackoff(failures int) time.Duration {
	d := min(20*time.Millisecond<<min(max(failures-1, 0), 10), 2500*time.Millisecond)
	return d - time.Duration(rand.Int64N(int64(d)/5))
}

// clientOptions are those of an app's client, before the engine adds its own.
func (c Config) clientOptions() []kgo.Opt {
	return append(c.connectOptions(),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, c.SessionTimeout/10)),
		kgo.RebalanceTimeout(c.RebalanceTimeout),
		kgo.MetadataMaxAge(time.Minute), // new partitions are noticed within a minute
	)
}

// owned are the options that the engine sets, or that would break what it promises.
var owned = []string{
	"AdjustFetchOffsetsFn", "AllowAutoTopicCreation", "AutoCommitCallback", "AutoCommitInterval", "AutoCommitMarks",
	"BlockRebalanceOnPoll", "ConsumePartitions", "ConsumeRegex", "ConsumeResetOffset", "ConsumeStartOffset", "ConsumeTopics",
	"ConsumerGroup", "DisableAutoCommit", "FetchIsolationLevel", "GreedyAutoCommit", "KeepControlRecords",
	"OnPartitionsAssigned", "OnPartitionsLost", "OnPartitionsRevoked", "RebalanceTimeout", "SeedBrokers", "SessionTimeout",
	"ShareGroup", "TransactionalID", "WithContext",
}

// ownedOption names the first option that is the engine's; "" when there is none. kgo's options are closures that its
// option funcs made, so the closure's name tells whose it is.
func ownedOption(opts []kgo.Opt) string {
	for _, o := range opts {
		v := reflect.ValueOf(o)
		if v.Kind() != reflect.Struct || v.NumField() == 0 || v.Field(0).Kind() != reflect.Func {
			continue
		}
		name := runtime.FuncForPC(v.Field(0).Pointer()).Name()
		for _, option := range owned {
			if strings.Contains(name, "."+option+".") {
				return option
			}
		}
	}
	return ""
}
