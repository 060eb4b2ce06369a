package kafka

import (
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// NewTopic is a topic to be made.
type NewTopic struct {
	Name       string
	Partitions int32
}

// Embedded starts the broker that runs in this process: one node, in memory, for development and demonstrations. An address
// with port 0 takes a free one.
func Embedded(address string, topics ...NewTopic) (*kfake.Cluster, error) {
	_, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("address %s: the port is not a number", address)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(port), kfake.MaxVersions(versions()),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return net.Listen(network, address) //nolint:noctx // ends with the cluster, by Close
		}),
	}
	for _, t := range topics {
		opts = append(opts, kfake.SeedTopics(t.Partitions, t.Name))
	}
	return kfake.NewCluster(opts...)
}

// versions leaves out what Kafka's own tools stumble over: the answer to DescribeTopicPartitions lacks a field that they
// need, and the newer filter of ListGroups is compared with case.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.DescribeTopicPartitions.Int16(), -1)
	v.SetMaxKeyVersion(kmsg.ListGroups.Int16(), 4)
	return v
}
