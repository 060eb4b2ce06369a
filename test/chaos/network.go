package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/sluice-go/sluice/test/servers"
)

// detour is the way of one member to the brokers and to its database, through proxies that can be made to fail.
type detour struct {
	brokers  []*toxiproxy.Proxy
	database *toxiproxy.Proxy // nil: the job has none
}

// newDetour starts the proxies of the member in the first place of the number-th job.
func newDetour(ctx context.Context, cluster *servers.KafkaCluster, number int, d *database) (*detour, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	out := &detour{}
	for i, n := range cluster.Nodes {
		way := n.Detours[number]
		p := toxiproxy.NewProxy(server, fmt.Sprintf("%d-broker-%d", number, i+1), way.Advertised, way.Listen)
		if err := p.Start(); err != nil {
			return out, err
		}
		out.brokers = append(out.brokers, p)
	}
	if d == nil || d.address == "" {
		return out, nil
	}
	address, err := servers.FreeAddress(ctx)
	if err != nil {
		return out, err
	}
	out.database = toxiproxy.NewProxy(server, fmt.Sprintf("%d-database", number), address, d.address)
	return out, out.database.Start()
}

func (d *detour) seeds() []string {
	var all []string
	for _, p := range d.brokers {
		all = append(all, p.Listen)
	}
	return all
}

func (d *detour) close() {
	for _, p := range append(d.brokers, d.database) {
		if p != nil {
			p.Stop()
		}
	}
}

// trouble is what can be wrong with a network, as toxiproxy calls it.
type trouble struct{ name, kind, attributes string }

var troubles = []trouble{
	{"black hole", "timeout", `{"timeout": 0}`},
	{"delay", "latency", `{"latency": 700, "jitter": 600}`},
	{"resets", "reset_peer", `{"timeout": 0}`},
}

// cut makes trouble on the way to these, in both directions, and returns what ends it.
func cut(proxies []*toxiproxy.Proxy, t trouble) (mend func() error, err error) {
	streams := []string{"upstream", "downstream"}
	for _, p := range proxies {
		for _, stream := range streams {
			_, failed := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
				`{"name": %[1]q, "type": %[2]q, "stream": %[1]q, "toxicity": 1, "attributes": %[3]s}`, stream, t.kind, t.attributes)))
			err = errors.Join(err, failed)
		}
	}
	return func() error {
		var err error
		for _, p := range proxies {
			for _, stream := range streams {
				err = errors.Join(err, p.Toxics.RemoveToxic(context.Background(), stream))
			}
		}
		return err
	}, err
}
