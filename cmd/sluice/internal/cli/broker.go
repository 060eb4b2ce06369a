package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

func newBroker(p *Process) *cobra.Command {
	var listen string
	var topics []string
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the embedded broker, for development",
		Long: `Runs the embedded broker until it is stopped. It keeps everything in memory, replicates nothing and is for
development and tests only; kcat and Kafka's own command line tools work on it.`,
		Example: "  sluice broker --topic orders:6 --topic orders.dlq:1",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			made := make([]kafka.NewTopic, len(topics))
			for i, t := range topics {
				var err error
				if made[i], err = parseTopic(t); err != nil {
					return err
				}
			}
			address, err := listenAddress(listen)
			if err != nil {
				return err
			}
			cluster, err := kafka.Embedded(address, made...)
			if err != nil {
				return err
			}
			defer cluster.Close()
			p.errorf("embedded broker on %s, for development only: one node, in memory, gone when it stops",
				strings.Join(cluster.ListenAddrs(), ","))
			<-cmd.Context().Done()
			return nil
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9092", "address to listen on")
	cmd.Flags().StringArrayVar(&topics, "topic", nil, "topic to create, name:partitions (may be given again)")
	return cmd
}

func parseTopic(s string) (kafka.NewTopic, error) {
	const most = 10_000
	name, count, found := strings.Cut(s, ":")
	if !found {
		count = "1"
	}
	n, err := strconv.ParseInt(count, 10, 32)
	if err != nil || n < 1 || n > most || name == "" {
		return kafka.NewTopic{}, usagef("--topic %q: give name:partitions, with 1 to %d partitions", s, most)
	}
	return kafka.NewTopic{Name: name, Partitions: int32(n)}, nil
}
