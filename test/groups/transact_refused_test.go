package groups

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// A cluster whose log of transactions cannot be made, or cannot be written, is refused at once, with the setting that mends it.
func TestAClusterThatCannotServeTransactionsIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		lines string
		log   bool // it is there already
		says  []string
	}{
		"too few brokers for its copies": {
			lines: "transaction.state.log.replication.factor=3\n",
			says:  []string{"transaction.state.log.replication.factor is 3, and the number of brokers is 1", "set transaction.state.log.replication.factor"},
		},
		"too few brokers for those in sync": {
			lines: "transaction.state.log.min.isr=2\n",
			says:  []string{"transaction.state.log.min.isr is 2, and the number of brokers is 1"},
		},
		"a log with too few copies, and a timeout above the limit": {
			lines: "transaction.state.log.min.isr=2\ntransaction.max.timeout.ms=5000\n", log: true,
			says: []string{
				"the number of its copies is 1, and 2 have to be in sync", "--topic __transaction_state --add-config min.insync.replicas=1",
				"transaction.timeout.ms (Timeout): \"10s\": is above the brokers' transaction.max.timeout.ms, 5s",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := kitOn(t, servers.KafkaWith(t, test.lines))
			k.create(1, k.name)
			if test.log {
				k.makeLog()
			}
			app, err := sluice.New(sluice.Config{Brokers: k.k.Seeds(), Group: k.name})
			if err != nil {
				t.Fatal(err)
			}
			err = sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{k.name}, Decode: sluice.Text,
				Handle: func(context.Context, sluice.Message[string]) ([]*kgo.Record, error) { return nil, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			for what, do := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
				began := time.Now()
				err := do(t.Context())
				t.Logf("%s, %v: %v", what, time.Since(began).Round(time.Millisecond), err)
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("%s took %v", what, took)
				}
				if _, ok := errors.AsType[*sluice.ConfigError](err); !ok {
					t.Errorf("%s: %T is no *ConfigError", what, err)
					continue
				}
				for _, s := range test.says {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%s does not say %q", what, s)
					}
				}
			}
		})
	}
}

// makeLog has the broker make its log of transactions, which cannot be written then.
func (k *kit) makeLog() {
	k.Helper()
	k.until("the log is made", func() bool {
		k.admin.FindTxnCoordinators(k.Context(), k.name)
		topics, err := k.admin.ListTopicsWithInternal(k.Context(), "__transaction_state")
		return err == nil && topics["__transaction_state"].Err == nil && len(topics["__transaction_state"].Partitions) > 0
	})
}
