// Package metrics tells Prometheus how an app does:
//
//	registry.MustRegister(metrics.NewCollector(app))
//
// Everything is read from the app when it is scraped; nothing is counted twice. docs/metrics.md lists the names.
//
// Labels are bounded: groups, topics, routes, partitions that are assigned now, and words of a fixed list. What is told of a partition
// goes with it, at once. Durations come as classic and as native histograms at once; which of them is kept is for Prometheus to say.
package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
)

// App is what is told about: a *sluice.App.
type App interface {
	Health() sluice.Health
	Snapshot() sluice.Snapshot
	Stats() sluice.Stats
	Totals() sluice.Totals
	Traffic() sluice.Traffic
}

// NewCollector makes the collector of one app. Its series have the label group, so that apps of different groups may be registered side
// by side; register several of one group with prometheus.WrapRegistererWith and a label that tells them apart.
func NewCollector(app App) prometheus.Collector {
	return newCollector("sluice_", prometheus.Labels{"group": valid(app.Snapshot().Group)}, appFamilies, func() *scrape {
		return &scrape{
			health: app.Health(), snapshot: app.Snapshot(), stats: app.Stats(), totals: app.Totals(), traffic: app.Traffic(),
		}
	})
}

// Producer is what is told about: a *sluice.Producer.
type Producer interface {
	Traffic() sluice.Traffic
}

// NewProducerCollector makes the collector of one producer, with the label producer: a name that you choose. What an app writes by itself,
// dead letters and copies for retry topics, is told by the app's collector.
func NewProducerCollector(producer Producer, name string) prometheus.Collector {
	labels := prometheus.Labels{"producer": valid(name)}
	return newCollector("sluice_producer_", labels, producerFamilies, func() *scrape { return &scrape{traffic: producer.Traffic()} })
}

// scrape is what an app says at one scrape.
type scrape struct {
	health   sluice.Health
	snapshot sluice.Snapshot
	stats    sluice.Stats
	totals   sluice.Totals
	traffic  sluice.Traffic
}

type collector struct {
	families []family
	descs    []*prometheus.Desc // one a family
	read     func() *scrape
}

func newCollector(prefix string, labels prometheus.Labels, families []family, read func() *scrape) *collector {
	c := &collector{families: families, read: read}
	for _, f := range families {
		c.descs = append(c.descs, prometheus.NewDesc(prefix+f.name, f.help, f.labels, labels))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	for i, f := range c.families {
		f.read(s, &series{family: f, desc: c.descs[i], ch: ch})
	}
}

// series takes the series of one family.
type series struct {
	family family
	desc   *prometheus.Desc
	ch     chan<- prometheus.Metric
}

// add adds a number, with a value for each label.
func (s *series) add(v float64, labels ...string) {
	kind := prometheus.GaugeValue
	if s.family.kind == counter {
		kind = prometheus.CounterValue
	}
	s.send(prometheus.NewConstMetric(s.desc, kind, v, allValid(labels)...))
}

// distribution adds a histogram, likewise.
func (s *series) distribution(d sluice.Distribution, labels ...string) {
	s.send(newHistogram(s.desc, d, allValid(labels)...))
}

func (s *series) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(s.desc, err) // the scrape fails with it
	}
	s.ch <- m
}

// valid is a text as a label's value: UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func allValid(labels []string) []string {
	for i, l := range labels {
		labels[i] = valid(l)
	}
	return labels
}
