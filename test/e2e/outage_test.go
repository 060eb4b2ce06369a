package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluice-go/sluice/test/servers"
)

// The database is killed three times, then the broker, while two processes work. They wait, go on, and never end.
func TestOutages(t *testing.T) {
	for _, db := range []struct {
		name   string
		server func(testing.TB) *servers.SQLServer
	}{{"MariaDB", servers.MariaDB}, {"PostgreSQL", servers.Postgres}} {
		t.Run(db.name, func(t *testing.T) {
			kafka, server := servers.Kafka(t), db.server(t)
			s := newScenario(t, kafka, server.Database(t), "insert")
			const orders = 60_000
			s.orders = newOrders(t, kafka.Seeds(), s.topic, orders, orders)
			a, b := start(t, "a", s.file), start(t, "b", s.file)
			waitReadyz(t, http.StatusOK, a, b)

			s.produceInto(t, 10_000, func() { server.Kill(t) })
			s.produce(t, 5_000) // nobody can write these
			waitReadyz(t, http.StatusServiceUnavailable, a, b)
			stays(t, 5*time.Second, "both processes wait for the database", func() bool { return waits(t, a) && waits(t, b) })
			server.Restart(t)
			waitReadyz(t, http.StatusOK, a, b)

			for range 2 { // down for no longer than it takes to start
				s.produceInto(t, 10_000, func() { server.Restart(t) })
				waitReadyz(t, http.StatusOK, a, b)
			}

			s.produceInto(t, 10_000, func() { kafka.Kill(t) })
			stays(t, 3*time.Second, "both processes wait for the broker", func() bool { a.alive(t); b.alive(t); return true })
			kafka.Restart(t)
			s.produce(t, orders-s.orders.sent)
			until(t, 2*time.Minute, "the group has committed everything", func() bool { return s.lag(t) == 0 })
			waitReadyz(t, http.StatusOK, a, b)
			a.interrupt(t)
			b.interrupt(t)
			s.checkRows(t)
			s.checkDeadLetters(t)
		})
	}
}

// waits tells whether a process that lives says that it is not ready, and why.
func waits(t *testing.T, p *process) bool {
	t.Helper()
	p.alive(t)
	code, h, err := p.readyz()
	return err == nil && code == http.StatusServiceUnavailable && h.Live && len(h.Problems) > 0
}

// produce produces orders outside of any transaction.
func (s *scenario) produce(t *testing.T, n int) {
	t.Helper()
	if err := s.orders.produce(t.Context(), n, false, nil); err != nil {
		t.Fatal(err)
	}
}

// produceInto produces orders in a transaction, so that all of them can be read at once, and breaks something the moment
// their first ones are written.
func (s *scenario) produceInto(t *testing.T, n int, fault func()) {
	t.Helper()
	before := s.done(t)
	if err := s.orders.produce(t.Context(), n, true, nil); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the first of the orders are written", func() bool { return s.done(t) > before })
	fault()
}

// done counts the offsets that the database says are done.
func (s *scenario) done(t *testing.T) int64 {
	t.Helper()
	var done int64
	for _, p := range s.positions(t) {
		done += p.offset
	}
	return done
}
