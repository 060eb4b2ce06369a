package engine

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// transactionFeature, at level 2, is what Kafka calls transactions whose every end raises the producer's epoch (KIP-890): a request that
// is late is never taken for one of the next transaction.
const (
	transactionFeature = "transaction.version"
	epochAtEachEnd     = 2
)

// versionsTimeout is how long brokers may take to say what they speak.
const versionsTimeout = 5 * time.Second

// explicitOffsets is the last version of TxnOffsetCommit for a group that the transaction was told of before.
const explicitOffsets = 4

// lookAtTransactions finds out which of the two kinds of transactions the brokers have, and keeps the client to it.
func (e *Engine) lookAtTransactions(ctx context.Context, admin *kadm.Client) error {
	return e.retry(ctx, "see which transactions brokers know", func() error {
		bounded, cancel := context.WithTimeout(ctx, versionsTimeout) // one that is frozen does not answer, and others do
		defer cancel()
		all, err := admin.ApiVersions(bounded)
		if err != nil {
			return err
		}
		answered := false
		for _, b := range all {
			if b.Err != nil {
				err = b.Err
				continue
			}
			answered = true
			for _, f := range b.Raw().FinalizedFeatures {
				if f.Name == transactionFeature && f.MaxVersionLevel >= epochAtEachEnd {
					e.implicit = true
				}
			}
		}
		if !answered {
			return cmpErr(errors.Join(err))
		}
		if !e.implicit {
			versions := kversion.Stable()
			versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), explicitOffsets)
			e.options = append(e.options, kgo.MaxVersions(versions))
		}
		return nil
	})
}
