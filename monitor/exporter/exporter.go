package exporter

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice/monitor"
)

// Config says what is told. The zero value is the default.
type Config struct {
	// Partitions tells of each partition of each group as well: their lag, time lag and commit. Default: groups by topic. Three more series
	// for each partition that a group has a commit of.
	Partitions bool

	// KafkaExporter tells the names of kafka_exporter as well, for dashboards and alerts that are made for it.
	KafkaExporter bool
}

// Exporter gathers what Prometheus is told. It implements prometheus.Gatherer.
type Exporter struct {
	read     func() *monitor.Snapshot
	families []family
	cfg      Config
}

// New makes an exporter of what read returns at a scrape: Monitor.Snapshot.
func New(read func() *monitor.Snapshot, cfg Config) *Exporter {
	families := concat(ownFamilies...)
	if cfg.Partitions {
		families = append(families, partitionFamilies...)
	}
	if cfg.KafkaExporter {
		families = append(families, kafkaExporterFamilies...)
	}
	slices.SortFunc(families, func(a, b family) int { return cmp.Compare(a.name, b.name) })
	return &Exporter{read, families, cfg}
}

// Gather returns all families that have a series, in the order of their names.
func (e *Exporter) Gather() ([]*dto.MetricFamily, error) {
	s := newScrape(e.read(), e.cfg)
	all := make([]*dto.MetricFamily, 0, len(e.families))
	for i := range e.families {
		f := &e.families[i]
		kind := f.kind
		out := &series{kind: kind, family: &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &kind}}
		f.read(s, out)
		if len(out.family.GetMetric()) > 0 {
			all = append(all, out.family)
		}
	}
	return all, nil
}

// series takes the series of one family.
type series struct {
	family *dto.MetricFamily
	kind   dto.MetricType
	room   []one
}

// one is a series in one piece of memory; most are gauges.
type one struct {
	metric dto.Metric
	gauge  dto.Gauge
	value  float64
}

const roomAtOnce = 512 // series

func (s *series) add(v float64, labels []*dto.LabelPair) {
	if len(s.room) == 0 {
		s.room = make([]one, roomAtOnce)
	}
	m := &s.room[0]
	s.room = s.room[1:]
	m.value, m.metric.Label = v, labels
	if s.kind == counter {
		m.metric.Counter = &dto.Counter{Value: &m.value}
	} else {
		m.gauge.Value, m.metric.Gauge = &m.value, &m.gauge
	}
	s.family.Metric = append(s.family.Metric, &m.metric)
}
