package groups

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// A cluster whose log of transactions can never be made is refused at once, with the setting that mends it; so is a timeout that it does
// not take. The check makes no such log by itself.
func TestAClusterThatCannotServeTransactionsIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		lines string
		says  string
	}{
		"too few brokers for its copies": {
			"transaction.state.log.replication.factor=3\n",
			"transaction.state.log.replication.factor is 3, and the number of brokers is 1; start more, or set it to 1",
		},
		"a timeout above the limit": {
			"transaction.max.timeout.ms=5000\n",
			"transaction.timeout.ms (Timeout): \"10s\": is above the brokers' transaction.max.timeout.ms, 5s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := kitOn(t, servers.KafkaWith(t, test.lines))
			k.create(1, k.name)
			app := k.silent()
			for what, do := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
				began := time.Now()
				err := do(t.Context())
				t.Logf("%s, %v: %v", what, time.Since(began).Round(time.Millisecond), err)
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("%s took %v", what, took)
				}
				if _, ok := errors.AsType[*sluice.ConfigError](err); !ok || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: %T does not say %q", what, err, test.says)
				}
			}
			k.hasNoLog()
		})
	}
}

// silent is an app that answers nothing, in transactions.
func (k *kit) silent() *sluice.App {
	k.Helper()
	app, err := sluice.New(sluice.Config{Brokers: k.k.Seeds(), Group: k.name})
	if err == nil {
		err = sluice.AddTransact(app, sluice.TransactRoute[string]{
			Topics: []string{k.name}, Decode: sluice.Text,
			Handle: func(context.Context, sluice.Message[string]) ([]*kgo.Record, error) { return nil, nil },
		})
	}
	if err != nil {
		k.Fatal(err)
	}
	return app
}

// hasNoLog demands that nobody has made the log of transactions.
func (k *kit) hasNoLog() {
	k.Helper()
	topics, err := k.admin.ListTopicsWithInternal(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	if topics.Has("__transaction_state") {
		k.Error("the check made __transaction_state")
	}
}

// A broker that has to see more copies in sync than there are takes those that there are (from 3.7 on): it serves transactions. Before any, a
// check changes nothing.
func TestOneBrokerWithTheDefaultsOfThreeServesTransactions(t *testing.T) {
	k := kitOn(t, servers.KafkaWith(t, "transaction.state.log.min.isr=2\n"))
	k.create(1, k.name, k.name+"-out")
	if err := k.silent().Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	k.hasNoLog()
	var aborts atomic.Int64
	m := k.forward(sluice.ClassicProtocol, k.name, k.name+"-out", &aborts)
	k.produce(k.name, 1, 0, 100)
	k.until("all is committed", func() bool { return k.committed(k.name, 1, 100) })
	m.leave(k)
	k.answers(k.name+"-out", 1, 100)
	if err := k.silent().Check(t.Context()); err != nil {
		t.Errorf("Check, with a log: %v", err)
	}
}

// While one of three brokers is away, there are too few for a log of transactions, which is not there yet. That passes, and is no mistake.
func TestAClusterWithABrokerAwayIsNotRefused(t *testing.T) {
	cluster, err := servers.StartKafkaCluster(3, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Remove()
	k := kitOn(t, &servers.KafkaServer{Brokers: strings.Join(cluster.Seeds(), ",")})
	if _, err := k.admin.CreateTopics(t.Context(), 1, 3, nil, k.name, k.name+"-out"); err != nil {
		t.Fatal(err)
	}
	away := cluster.Nodes[2]
	away.Process().Kill()
	k.until("it is away", func() bool {
		brokers, err := k.admin.ListBrokers(t.Context())
		return err == nil && len(brokers) == 2
	})
	if err := k.silent().Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	k.hasNoLog()
	var aborts atomic.Int64
	m := k.forward(sluice.ClassicProtocol, k.name, k.name+"-out", &aborts)
	if err := away.Up(); err != nil {
		t.Fatal(err)
	}
	k.produce(k.name, 1, 0, 100)
	k.until("all is committed", func() bool { return k.committed(k.name, 1, 100) })
	m.leave(k)
	k.answers(k.name+"-out", 1, 100)
}

// In a cluster that is new, a broker that has never been there is not one of it yet. Its controllers wait for it: that is no mistake either.
func TestANewClusterThatIsNotCompleteIsNotRefused(t *testing.T) {
	cluster, err := servers.PlanKafkaCluster(3, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Remove()
	if err := cluster.Start(cluster.Nodes[:2]...); err != nil {
		t.Fatal(err)
	}
	k := kitOn(t, &servers.KafkaServer{Brokers: strings.Join(cluster.Seeds()[:2], ",")})
	if _, err := k.admin.CreateTopics(t.Context(), 1, 2, nil, k.name, k.name+"-out"); err != nil {
		t.Fatal(err)
	}
	if err := k.silent().Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	k.hasNoLog()
	var aborts atomic.Int64
	m := k.forward(sluice.ClassicProtocol, k.name, k.name+"-out", &aborts)
	if err := cluster.Nodes[2].Start(); err != nil {
		t.Fatal(err)
	}
	k.produce(k.name, 1, 0, 100)
	k.until("all is committed", func() bool { return k.committed(k.name, 1, 100) })
	m.leave(k)
	k.answers(k.name+"-out", 1, 100)
}
