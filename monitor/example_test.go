package monitor_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/monitor"
)

// shop is a broker inside this process, with a topic of three records, of which the group billing has handled one.
func shop() (brokers kgo.Opt, stop func()) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		panic(err)
	}
	brokers = kgo.SeedBrokers(cluster.ListenAddrs()...)
	client, err := kgo.NewClient(brokers, kgo.DefaultProduceTopic("orders"))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx := context.Background()
	if err := client.ProduceSync(ctx, kgo.StringRecord("a"), kgo.StringRecord("b"), kgo.StringRecord("c")).FirstErr(); err != nil {
		panic(err)
	}
	var commits kadm.Offsets
	commits.AddOffset("orders", 0, 1, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(ctx, "billing", commits); err != nil {
		panic(err)
	}
	return brokers, cluster.Close
}

func Example() {
	brokers, stopBroker := shop()
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background()) // a program: signal.NotifyContext
	defer stop()

	m, err := monitor.New(monitor.Config{
		ClientOptions: []kgo.Opt{brokers},
		OnSnapshot: func(s *monitor.Snapshot) {
			for _, g := range s.Groups {
				for _, p := range g.Partitions {
					fmt.Printf("%s is %s, %s[%d]: commit %d, lag %d, %s\n", g.ID, g.State, p.Topic, p.Partition, p.Commit, p.Lag, p.Status)
				}
			}
			stop() // one look is enough here
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: billing is Empty, orders[0]: commit 1, lag 2, OK
}
