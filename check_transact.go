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
	admin := kadm.NewClient(cl)
	if err := a.checkTransactionVersions(ctx, admin); err != nil {
		return err // the rest would only say the same in other words
	}
	timeout, log := a.checkTransactionSettings(ctx, admin)
	if log != nil {
		return errors.Join(timeout, log) // whoever asks for the id would only wait for it
	}
	return errors.Join(timeout, a.checkTransactionalID(ctx, cl, t.ID))
}

// checkTransactionVersions asks every broker, as any of them may come to coordinate the group or its transactions.
func (a *App) checkTransactionVersions(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	brokers, err := admin.ApiVersions(ctx)
	if err != nil {
		return nil // the engine asks, too, until they answer
	}
	for _, b := range brokers.Sorted() {
		if b.Err != nil {
			continue // away just now
		}
		speaks, ends := transactionVersions(b.Raw())
		if !speaks {
			return refuseTransactions("", fmt.Sprintf("broker %d does not know which member of a group a transaction is of (KIP-447); "+
				"upgrade every broker to Kafka 2.5 or newer (4.0 is better), or use a Route, which is at least once", b.NodeID))
		}
		if !ends {
			a.cfg.Logger.Warn("a request that is late may be taken for one of the next transaction, before Kafka 4.0 (KIP-890); upgrade "+
				"every broker, and then: kafka-features --bootstrap-server HOST:PORT upgrade --feature transaction.version=2",
				"broker", b.NodeID)
			return nil
		}
	}
	return nil
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
// transactions by what there is. One that can never be made or written has clients wait for ever; one that has too few brokers for now
// is waited for.
func (a *App) checkTransactionSettings(ctx context.Context, admin *kadm.Client) (timeout, log error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	md, err := admin.Metadata(ctx, transactionLog)
	if err != nil || len(md.Brokers) == 0 {
		return nil, nil
	}
	broker := settingsOf(admin.DescribeBrokerConfigs(ctx, md.Brokers[0].NodeID))
	if limit, ok := broker[longestTimeout]; ok {
		if limit := time.Duration(limit) * time.Millisecond; a.transact().Timeout > limit {
			timeout = refuseTimeout(a.transact().Timeout, limit)
		}
	}
	switch made := md.Topics[transactionLog]; {
	case errors.Is(made.Err, kerr.UnknownTopicOrPartition):
		log = judgeNewLog(broker, len(md.Brokers))
	case made.Err == nil && len(made.Partitions) > 0:
		log = judgeLog(settingsOf(admin.DescribeTopicConfigs(ctx, transactionLog)), made.Partitions.NumReplicas())
	}
	return timeout, log
}

// judgeNewLog says what keeps the log from being made.
func judgeNewLog(broker map[string]int, brokers int) error {
	for _, name := range []string{logReplication, logInSync} {
		if n := broker[name]; n > brokers {
			return refuseTransactions(name, fmt.Sprintf("the log of transactions, %s, cannot be made: %s is %d, and the number of "+
				"brokers is %d; start more, or set %s and %s to %d or less in every broker's server.properties, and restart them",
				transactionLog, name, n, brokers, logReplication, logInSync, brokers))
		}
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

// checkTransactionalID asks whether we may use it, by a request that brokers refuse, but look at rights first. Anything but a missing
// right is for the engine, which goes on asking.
func (a *App) checkTransactionalID(ctx context.Context, cl *kgo.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = &id, 0, -1, -1
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
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
