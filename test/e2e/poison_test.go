package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// A row over max_allowed_packet goes to the dead letters, and its neighbours land: also those that are over it together.
func TestRowLargerThanAPacket(t *testing.T) {
	kafka, server := servers.Kafka(t), servers.MariaDB(t)
	s := newScenario(t, kafka, server.Database(t), "insert")
	const limit = 256 << 10
	s.limitPackets(t, limit)
	s.exec(t, "alter table orders modify customer longtext not null")
	for partition := range int32(2) {
		for i := range int64(60) {
			id := 1000*int64(partition) + i
			switch {
			case i == 20, i == 40, i == 41:
				s.send(t, partition, id, strings.Repeat("x", limit+1), true)
			case i%5 == 0:
				s.send(t, partition, id, strings.Repeat("x", limit/3), false)
			default:
				s.send(t, partition, id, "neighbour", false)
			}
		}
	}
	got := execute(t, 0, "run", s.file, "--until-caught-up").summary(t)
	if got.Records != 120 || got.Rows != 114 || got.DeadLettered != 6 {
		t.Errorf("the summary is %+v", got)
	}
	s.checkRows(t)
	s.checkDeadLetters(t)
	for _, r := range s.deadLetters(t, 6) {
		if why := header(r, sluice.HeaderError); !strings.Contains(why, "too large") && !strings.Contains(why, "max_allowed_packet") {
			t.Errorf("a dead letter does not tell its reason: %q", why)
		}
		if len(r.Value) < limit {
			t.Errorf("a dead letter of %d bytes is not the record", len(r.Value))
		}
	}
}

// Without a dead letter topic poison is tried again and shown; what lies before it and in other partitions lands, and
// nothing is dropped. Once there is a topic, the rest follows.
func TestPoisonWithoutDeadLetters(t *testing.T) {
	for _, db := range []struct {
		name   string
		server func(testing.TB) *servers.SQLServer
	}{{"MariaDB", servers.MariaDB}, {"PostgreSQL", servers.Postgres}} {
		t.Run(db.name, func(t *testing.T) {
			s := newScenario(t, servers.Kafka(t), db.server(t).Database(t), "insert")
			const each, at = 20, 10
			for partition := range int32(2) {
				for i := range int64(each) {
					poison := partition == 0 && i == at
					customer := "customer"
					if poison {
						customer = strings.Repeat("x", 17)
					}
					s.send(t, partition, 1000*int64(partition)+i, customer, poison)
				}
			}
			whole := s.file
			s.file = s.withoutDeadLetters(t)
			p := start(t, "p", s.file)
			poisoned := fmt.Sprintf("%s[0]", s.topic)
			until(t, time.Minute, "what lies before the poison, and beside it, lands", func() bool { return s.rows(t) == at+each })
			waitReadyz(t, http.StatusServiceUnavailable, p)
			tried := p.metric(t, "sluice_attempts_failed_total")
			until(t, time.Minute, "the poison is tried again", func() bool { return p.metric(t, "sluice_attempts_failed_total") > tried })
			code, h, err := p.readyz()
			problems := strings.Join(h.Problems, "; ")
			red := strings.Contains(problems, poisoned) && !strings.Contains(problems, s.topic+"[1]")
			if err != nil || code != http.StatusServiceUnavailable || !red {
				t.Errorf("/readyz says %d %q, %v", code, problems, err)
			}
			if !strings.Contains(problems, "poison") || !strings.Contains(problems, "too long") {
				t.Errorf("/readyz does not tell the reason: %q", problems)
			}
			p.interrupt(t)
			if rows, dead := s.rows(t), s.end(t, s.dead); rows != at+each || dead != 0 {
				t.Errorf("%d rows and %d dead letters, want %d and none", rows, dead, at+each)
			}
			if next := s.positions(t)[0].offset; next != at {
				t.Errorf("the work on partition 0 goes on at %d, want %d, the poison", next, at)
			}
			execute(t, 0, "run", whole, "--until-caught-up")
			s.checkRows(t)
			s.checkDeadLetters(t)
		})
	}
}

// withoutDeadLetters writes a second pipeline file, which has no dead letter topic and tries sooner again, and returns it.
func (s *scenario) withoutDeadLetters(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "attempts: 5, backoff: 100ms, max_backoff: 10s", "backoff: 100ms, max_backoff: 1s")
	text = strings.ReplaceAll(text, "dead_letter: {topic: "+s.dead+"}\n", "")
	file := s.file + ".without.yaml"
	write(t, file, text)
	return file
}

// send produces one order, and notes what must come of it.
func (s *scenario) send(t *testing.T, partition int32, id int64, customer string, poison bool) {
	t.Helper()
	r := &kgo.Record{
		Topic: s.topic, Partition: partition,
		Value: fmt.Appendf(nil, `{"id":%d,"version":0,"customer":%q,"amount":"1.50"}`, id, customer),
	}
	if err := s.orders.plain.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.orders.sent++
	at := place{r.Partition, r.Offset}
	if poison {
		s.orders.poison[at] = true
		return
	}
	s.orders.good[id], s.orders.version[id] = at, 0
}

// limitPackets lowers the server's limit for the time of the test. Only new connections get it.
func (s *scenario) limitPackets(t *testing.T, bytes int) {
	t.Helper()
	var before int
	if err := s.db.QueryRowContext(t.Context(), "select @@global.max_allowed_packet").Scan(&before); err != nil {
		t.Fatal(err)
	}
	s.exec(t, fmt.Sprintf("set global max_allowed_packet = %d", bytes))
	t.Cleanup(func() {
		if _, err := s.db.Exec(fmt.Sprintf("set global max_allowed_packet = %d", before)); err != nil {
			t.Errorf("restore max_allowed_packet: %v", err)
		}
	})
}

func (s *scenario) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func (s *scenario) rows(t *testing.T) int {
	t.Helper()
	var n int
	if err := s.db.QueryRowContext(t.Context(), "select count(*) from orders").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// deadLetters reads the first n dead letters.
func (s *scenario) deadLetters(t *testing.T, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Seeds()...), kgo.ConsumeTopics(s.dead))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	for len(rs) < n {
		fs := cl.PollFetches(t.Context())
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, fs.Records()...)
	}
	return rs
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
