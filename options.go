package sluice

import (
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// connectOptions are what every client of ours has, with the user's own.
func (c ProducerConfig) connectOptions() []kgo.Opt {
	return append(c.connection().clientOptions(), c.ClientOptions...)
}

// clientOptions are those of an app's client, before the engine adds its own. c has its defaults.
func (c Config) clientOptions() []kgo.Opt {
	sizes := c.fetchSizes()
	opts := append(c.connection().clientOptions(),
		kgo.BrokerMaxReadBytes(largestAnswer(sizes.Most)),
		kgo.FetchMaxBytes(sizes.Most),
		kgo.FetchMaxPartitionBytes(sizes.MostOfPartition),
		kgo.FetchMaxWait(c.Fetch.MaxWait),
		kgo.FetchMinBytes(c.Fetch.MinBytes),
		kgo.MaxDecompressBatchBytes(largestBatch(c.MaxBufferedBytes)),
		kgo.RebalanceTimeout(c.RebalanceTimeout),
	)
	opts = append(opts, c.groupOptions()...)
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	if c.Rack != "" {
		opts = append(opts, kgo.Rack(c.Rack))
	}
	return append(opts, c.ClientOptions...)
}

// largestAnswer is what the client takes for a real answer: twice what was asked for, as a single larger batch still comes, and
// no less than its own 100 MiB.
func largestAnswer(maxBytes int32) int32 {
	return int32(min(max(2*int64(maxBytes), 100<<20), 1<<30))
}

// largestBatch is what a batch may decompress to before the client refuses it: the budget, and no less than 64 MiB, as a large
// record has to be handled under a small budget, too.
func largestBatch(budget int64) int { return int(min(max(budget, 64<<20), math.MaxInt32)) }

// owned are the options that the engine sets, or that would break what it promises.
var owned = []string{
	"AdjustFetchOffsetsFn", "AllowAutoTopicCreation", "AutoCommitCallback", "AutoCommitInterval", "AutoCommitMarks",
	"Balancers", "BlockRebalanceOnPoll", "ConsumeExcludeTopics", "ConsumePartitions", "ConsumeRegex", "ConsumeResetOffset",
	"ConsumeStartOffset", "ConsumeTopics", "ConsumerGroup", "DisableAutoCommit", "FetchIsolationLevel", "GreedyAutoCommit",
	"GroupProtocol", "HeartbeatInterval", "InstanceID", "KeepControlRecords", "OnOffsetsFetched", "OnPartitionsAssigned",
	"OnPartitionsLost", "OnPartitionsRevoked", "RebalanceTimeout", "SeedBrokers", "ServerSideBalancer", "SessionTimeout",
	"ShareGroup", "TransactionalID", "WithContext",
}

// ownedOption names the first option that is the engine's; "" when there is none.
func ownedOption(opts []kgo.Opt) string { return optionNamed(opts, owned...) }

// optionNamed finds the first option that was made by one of these funcs of kgo's, and returns its name; "" when there is
// none. kgo's options are closures that its option funcs made, so the closure's name tells whose it is.
func optionNamed(opts []kgo.Opt, names ...string) string {
	for _, o := range opts {
		v := reflect.ValueOf(o)
		if v.Kind() != reflect.Struct || v.NumField() == 0 || v.Field(0).Kind() != reflect.Func {
			continue
		}
		made := runtime.FuncForPC(v.Field(0).Pointer()).Name()
		if i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(made, "."+n+".") }); i >= 0 {
			return names[i]
		}
	}
	return ""
}
