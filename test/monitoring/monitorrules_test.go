package monitoring

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/exporter"
	"github.com/sluice-go/sluice/test/servers"
)

// The real Prometheus scrapes what a monitor tells, and fires for a group that stands still, but not for one that the monitor cannot see.
func TestPrometheusJudgesWhatAMonitorTells(t *testing.T) {
	t.Parallel()
	read := func() *monitor.Snapshot {
		now := time.Now()
		group := func(id string, err error) monitor.Group {
			return monitor.Group{ID: id, AsOf: now, Err: err, Described: true, Members: make([]monitor.Member, 1), Partitions: []monitor.Partition{{
				Topic: "orders", Commit: 5, End: 35, Readable: 35, Lag: 30, Drain: -1, Status: monitor.Stall, Stands: time.Hour,
				TimeLag: monitor.TimeLag{Known: true, Behind: time.Hour},
			}}}
		}
		return &monitor.Snapshot{
			Round: now.Unix(), At: now, Complete: now,
			Groups: []monitor.Group{group("billing", nil), group("dark", errors.New("broker 2 does not answer"))},
			Topics: []monitor.Topic{{Name: "orders", Partitions: []monitor.Log{{Leader: -1, End: 35}}}},
		}
	}
	page := httptest.NewServer(promhttp.HandlerFor(exporter.New(read, exporter.Config{}), promhttp.HandlerOpts{}))
	defer page.Close()
	p := servers.StartPrometheusWith(t, servers.PrometheusConfig{
		Targets: []string{page.Listener.Addr().String()}, Rules: []string{rules(t, "monitor.rules.yml"), rules(t, "objectives.rules.yml")},
	})
	until(t, p, `ALERTS{alertname="GroupStalled", alertstate="firing", severity="critical", group="billing", topic="orders"}`, is(1))
	until(t, p, `ALERTS{alertname="GroupTimeLag", alertstate="pending", group="billing"}`, is(1))
	until(t, p, `ALERTS{alertname="PartitionOffline", alertstate="pending", topic="orders"}`, is(1))
	until(t, p, `group_topic:sluice_monitor_group_unseen:max`, is(1))
	until(t, p, `group_topic:sluice_monitor_group_unseen:max{group="dark", topic="orders"}`, is(1))
	until(t, p, `group_topic:sluice_monitor_group_lag_records:max{group="dark"}`, is(30))
	until(t, p, `count(ALERTS{group="dark"}) or vector(0)`, is(0))
	until(t, p, `count(ALERTS)`, is(3))
}
