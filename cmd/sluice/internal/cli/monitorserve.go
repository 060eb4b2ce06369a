package cli

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice/cmd/sluice/internal/view"
	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
	"github.com/sluice-go/sluice/monitor/burrow"
)

// handler answers from the last snapshot.
func (w *watch) handler(groups prometheus.Gatherer) http.Handler {
	process := prometheus.NewRegistry()
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(out http.ResponseWriter, _ *http.Request) {
		writeJSON(out, true, struct {
			Live bool `json:"live"`
		}{true})
	})
	mux.HandleFunc("GET /readyz", func(out http.ResponseWriter, _ *http.Request) {
		health := w.health(w.monitor.Snapshot(), time.Now())
		writeJSON(out, health.Ready, health)
	})
	few := newTurns()
	mux.Handle("GET /snapshot.json", few.of(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		writeJSON(out, true, view.Filter{Partitions: true}.Of(w.monitor.Snapshot()))
	})))
	mux.Handle("GET /metrics", few.of(promhttp.HandlerFor(gatherers{process, groups}, promhttp.HandlerOpts{})))
	if w.alerter != nil {
		mux.HandleFunc("GET /alerts.json", func(out http.ResponseWriter, _ *http.Request) {
			writeJSON(out, true, map[string][]alert.Alert{"alerts": append([]alert.Alert{}, w.alerter.Alerts()...)})
		})
	}
	asBurrow := burrow.Handler(w.monitor.Snapshot, "")
	mux.Handle("GET /v3/", few.of(asBurrow))
	for _, small := range []string{"", "/status", "/lag"} { // of one group; burrow_exporter asks for that of all groups at once
		mux.Handle("GET /v3/kafka/{cluster}/consumer/{group}"+small, asBurrow)
	}
	return mux
}

// gatherers are of different families, so that no series has to be compared with the others as prometheus.Gatherers does.
type gatherers []prometheus.Gatherer

// Gather implements prometheus.Gatherer.
func (all gatherers) Gather() (families []*dto.MetricFamily, err error) {
	for _, g := range all {
		more, failed := g.Gather()
		families, err = append(families, more...), errors.Join(err, failed)
	}
	return families, err
}

// watchHealth is what /readyz says.
type watchHealth struct {
	Ready    bool       `json:"ready"`
	Round    int64      `json:"round"`
	At       *time.Time `json:"at"`
	Complete *time.Time `json:"complete"` // when all was seen last
	Problems []string   `json:"problems"`
}

// lateAfter so many intervals without a look, the monitor is blind.
const lateAfter = 3

// health says whether the groups can be seen: it is red before the first look, while no broker answers or one does not list its groups, and
// when looks take far too long. What else cannot be seen spoils some rows, which say so, and is listed.
func (w *watch) health(s *monitor.Snapshot, now time.Time) watchHealth {
	h := watchHealth{Ready: true, Round: s.Round, Problems: []string{}}
	if s.Round == 0 {
		h.Ready, h.Problems = false, append(h.Problems, "nothing was seen yet: it is looked at "+w.brokers)
		return h
	}
	h.At = &s.At
	if !s.Complete.IsZero() {
		h.Complete = &s.Complete
	}
	if age := now.Sub(s.At); age > lateAfter*w.interval+s.Took {
		h.Ready, h.Problems = false, append(h.Problems, fmt.Sprintf("the last look is %v old", age.Round(time.Second)))
	}
	for _, p := range s.Problems {
		h.Problems = append(h.Problems, p.What+": "+p.Err.Error())
		if p.What == "metadata" || p.What == "groups" {
			h.Ready = false
		}
	}
	return h
}
