package servers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-go/sluice/test/process"
)

// KafkaCluster is a cluster of brokers that are its controllers, too. Its topics have a copy on each of three brokers, and two
// have to be in sync. It is the caller's own: nobody else gets it, and the caller removes it.
type KafkaCluster struct {
	Nodes []*KafkaNode
}

// KafkaNode is one broker of a cluster. Its Process can be killed and frozen; Up starts it again.
type KafkaNode struct {
	server

	Address string // host:port
	Detours []Detour

	first func() error // starts it for the first time
}

// Start starts a broker of PlanKafkaCluster for the first time.
func (n *KafkaNode) Start() error { return n.first() }

// Detour is a listener of a broker that clients are told another address of: that of a proxy in front of it.
type Detour struct{ Listen, Advertised string }

// Seeds are the brokers' addresses.
func (c *KafkaCluster) Seeds() []string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.Address)
	}
	return all
}

// StartKafkaCluster starts brokers, each with so many detours, and with lines of server.properties that differ from the defaults.
// Nothing listens on the detours' advertised ports: that is the caller's part.
func StartKafkaCluster(brokers, detours int, lines string) (*KafkaCluster, error) {
	c, err := PlanKafkaCluster(brokers, detours, lines)
	if err != nil {
		return nil, err
	}
	if err := c.Start(c.Nodes...); err != nil {
		c.Remove()
		return nil, err
	}
	return c, nil
}

// Start starts some brokers for the first time, at once: none answers before most of them run.
func (c *KafkaCluster) Start(nodes ...*KafkaNode) error {
	errs := make([]error, len(nodes))
	var starting sync.WaitGroup
	for i, n := range nodes {
		starting.Go(func() { errs[i] = n.Start() })
	}
	starting.Wait()
	return errors.Join(errs...)
}

// PlanKafkaCluster is StartKafkaCluster, but starts no broker yet.
func PlanKafkaCluster(brokers, detours int, lines string) (*KafkaCluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), process.StartTimeout)
	defer cancel()
	each := 2 + 2*detours
	ports, err := freePorts(ctx, brokers*each)
	if err != nil {
		return nil, err
	}
	c := &KafkaCluster{Nodes: make([]*KafkaNode, brokers)}
	var voters []string
	for i := range brokers {
		own := ports[i*each : (i+1)*each]
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, address(own[1])))
		n := &KafkaNode{Address: address(own[0])}
		for d := range detours {
			n.Detours = append(n.Detours, Detour{Listen: address(own[2+2*d]), Advertised: address(own[3+2*d])})
		}
		c.Nodes[i] = n
	}
	id := clusterID()
	for i, n := range c.Nodes {
		n.first = func() (err error) {
			n.server, err = startNode(fmt.Sprintf("broker %d", i+1), func(_ context.Context, dir *dataDir) (plan, error) {
				_, controller, _ := strings.Cut(voters[i], "@")
				return plan{
					properties: n.properties(i+1, controller, dir.file("data"), strings.Join(voters, ",")) + lines,
					probed:     n.Address, cluster: id,
					java: []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, // a broker is often started, on a machine that is busy
				}, nil
			})
			return err
		}
	}
	return c, nil
}

// properties are those of a single broker, with other ids and copies.
func (n *KafkaNode) properties(id int, controller, data, voters string) string {
	listeners := []listener{{"PLAINTEXT", "PLAINTEXT", n.Address}}
	advertised := []string{"PLAINTEXT://" + n.Address}
	for i, d := range n.Detours {
		name := fmt.Sprintf("DETOUR%d", i)
		listeners = append(listeners, listener{name, "PLAINTEXT", d.Listen})
		advertised = append(advertised, name+"://"+d.Advertised)
	}
	return kafkaProperties(controller, data, listeners...) + fmt.Sprintf(`node.id=%d
controller.quorum.voters=%s
advertised.listeners=%s
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
num.network.threads=1
`, id, voters, strings.Join(advertised, ","))
}

// Remove kills the brokers and deletes their data.
func (c *KafkaCluster) Remove() {
	var removing sync.WaitGroup
	for _, n := range c.Nodes {
		if n.process != nil {
			removing.Go(func() {
				n.process.Kill()
				n.dir.remove()
			})
		}
	}
	removing.Wait()
}
