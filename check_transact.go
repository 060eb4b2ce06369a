package sluice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	transactRoute  = "TransactRoute"
	transactionLog = "__transaction_state"

	// What the brokers call their settings.
	logReplication = "transaction.state.log.replication.factor"
	logInSync      = "transaction.state.log.min.isr"
	inSync         = "min.insync.replicas"
	longestTimeout = "transaction.max.timeout.ms"

	groupTransactions  = 3 // of TxnOffsetCommit: from then on it says which member of the group sends it (KIP-447)
	stableOffsets      = 7 // of OffsetFetch: from then on it waits for open transactions
	transactionFeature = "transaction.version"
	epochAtEachEnd     = 2 // of that feature
)

// checkTransactions asks whether the brokers can serve a TransactRoute, if the app has one. It refuses only what they say for certain:
// one that does not answer, as it is frozen, is no reason not to start beside others that do.
func (a *App) checkTransactions(ctx context.Context, cl *kgo.Client) error {
	t := a.transact()
	if t == nil {
		return nil
	}
	answering, err := a.checkTransactionVersions(ctx, kadm.NewClient(cl))
	if err != nil || len(answering) == 0 {
		return err // the rest would only say the same in other words
	}
	return errors.Join(a.checkTransactionSettings(ctx, cl, answering[0]), a.checkTransactionalID(ctx, cl.Broker(int(answering[0])), t.ID))
}

// checkTransactionVersions asks every broker, as any of them may come to coordinate the group or its transactions. It returns those that
// answer.
func (a *App) checkTransactionVersions(ctx context.Context, admin *kadm.Client) (answering []int32, err error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	brokers, err := admin.ApiVersions(ctx)
	if err != nil {
		return nil, nil // the engine asks, too, until they answer
	}
	warned := false
	for _, b := range brokers.Sorted() {
		if b.Err != nil {
			continue // away just now
		}
		answering = append(answering, b.NodeID)
		speaks, ends := transactionVersions(b.Raw())
		if !speaks {
			return nil, refuseTransactions("", fmt.Sprintf("broker %d does not know which member of a group a transaction is of "+
				"(KIP-447); upgrade every broker to Kafka 2.5 or newer (4.0 is better), or use a Route, which is at least once", b.NodeID))
		}
		if !ends && !warned {
			warned = true
			a.cfg.Logger.Warn("a request that is late may be taken for one of the next transaction, before Kafka 4.0 (KIP-890); upgrade "+
				"every broker, and then: kafka-features --bootstrap-server HOST:PORT upgrade --feature transaction.version=2",
				"event", "transactions_unfenced", "broker", b.NodeID)
		}
	}
	return answering, nil
}

// transactionVersions says whether a broker has the transactions of consumer groups, and whether each end of one raises its epoch.
func transactionVersions(versions *kmsg.ApiVersionsResponse) (speaks, ends bool) {
	needs := map[kmsg.Key]int16{kmsg.TxnOffsetCommit: groupTransactions, kmsg.OffsetFetch: stableOffsets}
	for _, k := range versions.ApiKeys {
		if least, ok := needs[kmsg.Key(k.ApiKey)]; ok && k.MaxVersion >= least {
			delete(needs, kmsg.Key(k.ApiKey))
		}
	}
	return len(needs) == 0, slices.ContainsFunc(versions.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
		return f.Name == transactionFeature && f.MaxVersionLevel >= epochAtEachEnd
	})
}

// checkTransactionSettings judges the brokers' settings, as far as they may be read: our timeout by their limit, and their log of
// transactions by what there is. With one that can never be made or written clients wait for ever.
func (a *App) checkTransactionSettings(ctx context.Context, cl *kgo.Client, node int32) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	admin := kadm.NewClient(cl)
	var timeout, log error
	broker := settingsOf(admin.DescribeBrokerConfigs(ctx, node))
	if limit, ok := broker[longestTimeout]; ok {
		if limit := time.Duration(limit) * time.Millisecond; a.transact().Timeout > limit {
			timeout = refuseTimeout(a.transact().Timeout, limit)
		}
	}
	md, err := admin.Metadata(ctx, transactionLog)
	if err != nil {
		return timeout
	}
	size := sizeOf(ctx, cl, len(md.Brokers))
	switch made := md.Topics[transactionLog]; {
	case errors.Is(made.Err, kerr.UnknownTopicOrPartition):
		log = a.judgeNewLog(broker, size)
	case made.Err == nil && len(made.Partitions) > 0 && !size.caps:
		log = judgeLog(settingsOf(admin.DescribeTopicConfigs(ctx, transactionLog)), made.Partitions.NumReplicas())
	}
	return errors.Join(timeout, log)
}

// size is how many brokers a cluster has.
type size struct {
	brokers int
	all     bool // those that are away just now are among them
	caps    bool // a topic with fewer copies than have to be in sync can be written all the same
}

// Versions of DescribeCluster, by which brokers are told apart.
const (
	fromKafka37 = 1 // those that cap what has to be in sync (seen in 3.7.2 and later, not in 3.5.2)
	fromKafka40 = 2 // those that tell of brokers that are away
)

// sizeOf asks how large a cluster is of which so many brokers are there.
func sizeOf(ctx context.Context, cl *kgo.Client, there int) size {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeFencedBrokers = true
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || resp.ErrorCode != 0 {
		return size{brokers: there}
	}
	all := resp.Version >= fromKafka40 && !awaitsVoter(ctx, cl, resp.Brokers)
	return size{brokers: len(resp.Brokers), all: all, caps: resp.Version >= fromKafka37}
}

// awaitsVoter tells whether the controllers wait for one of them that has never been there, and that may be a broker, too. Brokers that
// have never been there are not among those of the cluster (seen in 4.3); of those that are no controllers nobody knows. Where we may not
// ask, none is awaited.
func awaitsVoter(ctx context.Context, cl *kgo.Client, brokers []kmsg.DescribeClusterResponseBroker) bool {
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || resp.ErrorCode != 0 || len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
		return false
	}
	for _, v := range resp.Topics[0].Partitions[0].CurrentVoters {
		there := slices.ContainsFunc(brokers, func(b kmsg.DescribeClusterResponseBroker) bool { return b.NodeID == v.ReplicaID })
		if v.LogEndOffset < 0 && !there {
			return true
		}
	}
	return false
}

// judgeNewLog says what keeps the log from being made, or from being written then. Where brokers that are away are not counted, as one
// restarts, too few are no reason not to start: the engine waits for more, and health says so.
func (a *App) judgeNewLog(broker map[string]int, size size) error {
	copies, least := broker[logReplication], broker[logInSync]
	switch {
	case copies > size.brokers && size.all:
		return refuseTransactions(logReplication, fmt.Sprintf("the log of transactions, %s, cannot be made: %s is %d, and the number of "+
			"brokers is %d; start more, or set it to %[4]d in every broker's server.properties, and restart them",
			transactionLog, logReplication, copies, size.brokers))
	case copies > 0 && least > copies && !size.caps:
		return refuseTransactions(logInSync, fmt.Sprintf("the log of transactions, %s, cannot be written: %s is %d, and the number of "+
			"its copies is %d (%s); set it to %[4]d in every broker's server.properties, and restart them",
			transactionLog, logInSync, least, copies, logReplication))
	case copies > size.brokers:
		a.cfg.Logger.Warn("the log of transactions, "+transactionLog+", cannot be made before more brokers are there; should there be no "+
			"more, set "+logReplication+" to their number in every broker's server.properties", "event", "transaction_log_incomplete",
			logReplication, copies,
			"brokers", size.brokers)
	}
	return nil
}

// judgeLog says what keeps the log from being written.
func judgeLog(topic map[string]int, copies int) error {
	least := topic[inSync]
	if least <= copies {
		return nil
	}
	return refuseTransactions(inSync, fmt.Sprintf("the log of transactions, %[1]s, cannot be written: the number of its copies is "+
		"%[2]d, and %[3]d have to be in sync; lower that: kafka-configs --bootstrap-server HOST:PORT --alter --topic %[1]s "+
		"--add-config %[4]s=%[2]d, and have %[5]s in every broker's server.properties say the same",
		transactionLog, copies, least, inSync, logInSync))
}

// settingsOf are the numbers among settings; none where they may not be read.
func settingsOf(all kadm.ResourceConfigs, err error) map[string]int {
	numbers := make(map[string]int)
	if err != nil {
		return numbers
	}
	for _, r := range all {
		for _, c := range r.Configs {
			if n, err := strconv.Atoi(c.MaybeValue()); err == nil {
				numbers[c.Key] = n
			}
		}
	}
	return numbers
}

// checkTransactionalID asks whether we may use it, by a request that brokers refuse, but look at rights first. It goes to any broker: the
// one that is in charge of the id does not have to be found, for which brokers would make their log. Anything but a missing right is
// for the engine, which goes on asking.
func (a *App) checkTransactionalID(ctx context.Context, broker *kgo.Broker, id string) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = &id, 0, -1, -1
	resp, err := broker.RetriableRequest(ctx, req)
	if answer, ok := resp.(*kmsg.InitProducerIDResponse); ok && err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	return a.explainTransaction(err)
}

// explainTransaction says which right is missing for a transactional id; nil where it is none.
func (a *App) explainTransaction(err error) error {
	prefix := a.cfg.Group + "."
	switch missing := missingPermission(err, toWrite, prefix+a.cfg.InstanceID); {
	case missing == nil:
		return nil
	case a.cfg.InstanceID != "":
		return missing
	default:
		return fmt.Errorf("%w; with --resource-pattern-type prefixed, as transactional ids are random after that in members without "+
			"Config.InstanceID", missing)
	}
}

// refuseTimeout tells that brokers take no timeout as long as this.
func refuseTimeout(timeout, most time.Duration) error {
	problem := "is above the brokers' " + longestTimeout
	if most > 0 {
		problem += ", " + shortDuration(most)
	}
	return &ConfigError{
		Property: "transaction.timeout.ms", Field: "Timeout", Value: shortDuration(timeout), Problem: problem + "; lower it, or raise that",
	}
}

func refuseTransactions(property, problem string) error {
	return &ConfigError{Property: property, Field: transactRoute, Problem: problem}
}
