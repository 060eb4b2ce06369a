package e2e

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// watchVersions samples rows while others write them: a version must never go backwards.
func (s *scenario) watchVersions(t *testing.T) (stop func()) {
	t.Helper()
	if s.mode != "upsert" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	samples := 0
	wg.Go(func() {
		seen := make(map[int64]int)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.sample(ctx, t, seen); err == nil { // else the table is not there yet, or we stop
				samples++
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		if samples < 10 {
			t.Errorf("only %d samples were taken", samples)
		}
	}
}

// sample compares some rows' versions with those that were seen before.
func (s *scenario) sample(ctx context.Context, t *testing.T, seen map[int64]int) error {
	rows, err := s.db.QueryContext(ctx, "select id, version from orders where id < 600")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var version int
		if err := rows.Scan(&id, &version); err != nil {
			return err
		}
		if version < seen[id] {
			t.Errorf("the version of order %d went back from %d to %d", id, seen[id], version)
		}
		seen[id] = version
	}
	return rows.Err()
}

// checkRows demands every good order as one row, with its newest version and its own coordinates.
func (s *scenario) checkRows(t *testing.T) {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), "select id, version, src_partition, src_offset from orders")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	times := make(map[int64]int)
	wrong := 0
	for rows.Next() {
		var id int64
		var version int
		var at place
		if err := rows.Scan(&id, &version, &at.partition, &at.offset); err != nil {
			t.Fatal(err)
		}
		times[id]++
		if want, ok := s.orders.good[id]; !ok || want != at || version != s.orders.version[id] {
			if wrong++; wrong < 5 {
				t.Errorf("row of order %d: version %d from %v, want version %d from %v (known: %v)", id, version, at, s.orders.version[id], want, ok)
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	missing, doubled := 0, 0
	for id := range s.orders.good {
		switch n := times[id]; {
		case n == 0:
			missing++
		case n > 1:
			doubled++
		}
	}
	if missing > 0 || doubled > 0 || wrong > 0 {
		t.Fatalf("%d orders have no row, %d more than one, %d rows are wrong", missing, doubled, wrong)
	}
	t.Logf("%d orders, %d rows, each once", s.orders.total, len(times))
}

// checkDeadLetters demands exactly the poison among the dead letters' source coordinates.
func (s *scenario) checkDeadLetters(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := s.admin.ListCommittedOffsets(ctx, s.dead)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	ends.Each(func(o kadm.ListedOffset) { want += int(o.Offset) })
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Seeds()...), kgo.ConsumeTopics(s.dead))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got := make(map[place]bool)
	read := 0
	for read < want {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			read++
			got[source(t, s.topic, r)] = true
		})
	}
	for at := range s.orders.poison {
		if !got[at] {
			t.Errorf("the poison at %v has no dead letter", at)
		}
	}
	for at := range got {
		if !s.orders.poison[at] {
			t.Errorf("the good order at %v was dead-lettered", at)
		}
	}
	t.Logf("%d dead letters of %d poison orders", read, len(s.orders.poison))
}

// source reads a dead letter's coordinates.
func source(t *testing.T, topic string, r *kgo.Record) place {
	t.Helper()
	h := make(map[string]string)
	for _, x := range r.Headers {
		h[x.Key] = string(x.Value)
	}
	p, err1 := strconv.Atoi(h[sluice.HeaderPartition])
	o, err2 := strconv.ParseInt(h[sluice.HeaderOffset], 10, 64)
	if err := errors.Join(err1, err2); err != nil || h[sluice.HeaderTopic] != topic {
		t.Fatalf("headers of a dead letter: %v (%v)", h, err)
	}
	return place{int32(p), o}
}
