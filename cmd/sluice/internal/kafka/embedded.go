package kafka

import (
	"crypto/tls"
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

// EmbeddedOptions say how the embedded broker runs. Address is required.
type EmbeddedOptions struct {
	// Address to listen on, host:port; port 0 takes a free one.
	Address string

	// Advertised is the host that clients are sent to, with or without a port. Zero: Address.
	Advertised string

	// DataDir keeps topics, records, commits and producers' states over restarts. Nil: in memory.
	DataDir *DataDir

	// Logins are the only ones that are let in. None: everybody is.
	Logins []Login

	// TLS is what connections are made with. Nil: plain text.
	TLS *tls.Config

	// Topics are made unless they are there.
	Topics []NewTopic

	// Warn is told what the broker could not do, a disk that is full above all. Nil: nobody is.
	Warn func(string)
}

// Embedded starts the broker that runs in this process: one node, in memory, for development and demonstrations. An address
// with port 0 takes a free one.
func Embedded(address string, topics ...NewTopic) (*kfake.Cluster, error) {
	return StartEmbedded(EmbeddedOptions{Address: address, Topics: topics})
}

// StartEmbedded starts the embedded broker. It is to be closed before its data directory is.
func StartEmbedded(o EmbeddedOptions) (*kfake.Cluster, error) {
	_, portText, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("address %s: the port is not a number", o.Address)
	}
	var bound net.Addr
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(port), kfake.MaxVersions(versions()),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			listener, err := net.Listen(network, o.Address) //nolint:noctx // ends with the cluster, by Close
			if err != nil {
				return nil, err
			}
			bound = listener.Addr()
			if o.Advertised == "" {
				return listener, nil
			}
			return advertise(listener, o.Advertised), nil
		}),
	}
	if o.TLS != nil {
		opts = append(opts, kfake.TLS(o.TLS))
	}
	opts = append(opts, loginOptions(o.Logins)...)
	if o.DataDir != nil {
		if err := o.DataDir.forgetLogins(); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(o.DataDir.records()))
	}
	if o.Warn != nil {
		opts = append(opts, kfake.WithLogger(warnings(o.Warn)))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, err
	}
	if len(o.Logins) > 0 {
		refuseByName(cluster, o.Logins)
		if err := offerHandshake(cluster, bound, o.TLS != nil); err != nil {
			cluster.Close()
			return nil, err
		}
	}
	for _, t := range o.Topics {
		if cluster.TopicInfo(t.Name) != nil {
			continue
		}
		if err := cluster.CreateTopic(t.Name, t.Partitions, nil); err != nil {
			cluster.Close()
			return nil, fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return cluster, nil
}

// versions leaves out what Kafka's own tools stumble over: the answer to DescribeTopicPartitions lacks a field that they
// need, and the newer filter of ListGroups is compared with case.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.DescribeTopicPartitions.Int16(), -1)
	v.SetMaxKeyVersion(kmsg.ListGroups.Int16(), 4)
	return v
}

// advertised is a listener whose address, which is what clients are told, is another one.
type advertised struct {
	net.Listener
	address string
}

func advertise(listener net.Listener, address string) net.Listener {
	if _, _, err := net.SplitHostPort(address); err != nil {
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		address = net.JoinHostPort(address, port)
	}
	return advertised{listener, address}
}

func (a advertised) Addr() net.Addr { return hostPort(a.address) }

type hostPort string

func (hostPort) Network() string  { return "tcp" }
func (h hostPort) String() string { return string(h) }

// warnings passes on what kfake says about errors.
type warnings func(string)

// Logf keeps to kfake's Logger.
func (w warnings) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError || level == kfake.LogLevelWarn {
		w(fmt.Sprintf(format, args...))
	}
}
