package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// place is where a record lies in the orders' topic.
type place struct {
	partition int32
	offset    int64
}

// ledger is what the producer saw: the place of each order that the broker acknowledged.
type ledger struct {
	mu     sync.Mutex
	acked  map[place]int64 // the order's id
	failed int64
	first  error
}

func newLedger() *ledger { return &ledger{acked: map[place]int64{}} }

func (l *ledger) done(id int64, r *kgo.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed++
		if l.first == nil {
			l.first = err
		}
		return
	}
	l.acked[place{r.Partition, r.Offset}] = id
}

func (l *ledger) produced() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.acked))
}

func (l *ledger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == 0 {
		return nil
	}
	return fmt.Errorf("%d orders were not acknowledged; the first: %w", l.failed, l.first)
}

// Count is the outcome, counted from outside.
type Count struct {
	Produced     int64 // acknowledged to the producer
	Rows         int64 // in the table
	DeadLettered int64 // different places among the dead letters
	Lost         int64 // acknowledged, and in neither
	Duplicated   int64 // written again, in the table or in the table and among the dead letters
	Strange      int64 // in the table or among the dead letters, and never acknowledged, or on the wrong side: poison there, or good here
}

func (c Count) String() string {
	return fmt.Sprintf("%d produced, %d rows, %d dead-lettered, %d lost, %d duplicated",
		c.Produced, c.Rows, c.DeadLettered, c.Lost, c.Duplicated)
}

// Good tells whether every order arrived once.
func (c Count) Good() bool {
	return c.Lost == 0 && c.Duplicated == 0 && c.Strange == 0 && c.Rows+c.DeadLettered == c.Produced
}

// count compares the ledger with what is there.
func count(ctx context.Context, s *stage, l *ledger) (Count, error) {
	rows, err := readRows(ctx, s)
	if err != nil {
		return Count{}, err
	}
	dead, err := readDeadLetters(ctx, s)
	if err != nil {
		return Count{}, err
	}
	return tally(l.acked, rows, dead), nil
}

type row struct {
	place
	id int64
}

// tally is the arithmetic of count. Dead letters may be there more than once, by their guarantee, so their places count.
func tally(acked map[place]int64, rows []row, dead []place) Count {
	c := Count{Produced: int64(len(acked)), Rows: int64(len(rows))}
	written, ids, buried := map[place]bool{}, map[int64]bool{}, map[place]bool{}
	for _, r := range rows {
		if id, ok := acked[r.place]; !ok || id != r.id || id%poisonEvery == 0 {
			c.Strange++
		}
		if written[r.place] || ids[r.id] {
			c.Duplicated++
		}
		written[r.place], ids[r.id] = true, true
	}
	for _, p := range dead {
		if buried[p] {
			continue
		}
		buried[p] = true
		c.DeadLettered++
		if id, ok := acked[p]; !ok || id%poisonEvery != 0 {
			c.Strange++
		}
		if written[p] {
			c.Duplicated++
		}
	}
	for p := range acked {
		if !written[p] && !buried[p] {
			c.Lost++
		}
	}
	return c
}

func readRows(ctx context.Context, s *stage) ([]row, error) {
	found, err := s.db.QueryContext(ctx, "select id, source_partition, source_offset from "+s.spec.SQL.Table)
	if err != nil {
		return nil, fmt.Errorf("count the rows of %s: %w", s.spec.SQL.Table, err)
	}
	defer func() { _ = found.Close() }()
	var rows []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.partition, &r.offset); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", s.spec.SQL.Table, err)
		}
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("count the rows of %s: %w", s.spec.SQL.Table, err)
	}
	return rows, nil
}

func readDeadLetters(ctx context.Context, s *stage) ([]place, error) {
	bounds, err := kafka.ReadBounds(ctx, s.admin, false, s.spec.DeadLetter)
	if err != nil {
		return nil, err
	}
	starts, left := map[int32]kgo.Offset{}, map[int32]bool{}
	for partition, b := range bounds[s.spec.DeadLetter] {
		starts[partition] = kgo.NewOffset().At(b.Start)
		left[partition] = b.Start < b.End
	}
	client, err := kafka.NewClient(ctx, s.kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.spec.DeadLetter: starts}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var places []place
	for anyLeft(left) {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return nil, fmt.Errorf("read the dead letters of %s: %w", s.spec.DeadLetter, err)
		}
		for r := range fetches.RecordsAll() {
			p, err := sourceOf(r)
			if err != nil {
				return nil, err
			}
			places = append(places, p)
			if r.Offset+1 >= bounds[s.spec.DeadLetter][r.Partition].End {
				left[r.Partition] = false
			}
		}
	}
	return places, nil
}

func anyLeft(left map[int32]bool) bool {
	for _, l := range left {
		if l {
			return true
		}
	}
	return false
}

// sourceOf reads where a dead letter comes from.
func sourceOf(r *kgo.Record) (place, error) {
	var p place
	found := 0
	for _, h := range r.Headers {
		n, err := strconv.ParseInt(string(h.Value), 10, 64)
		switch h.Key {
		case sluice.HeaderPartition:
			p.partition = int32(n)
		case sluice.HeaderOffset:
			p.offset = n
		default:
			continue
		}
		if err != nil {
			return p, fmt.Errorf("dead letter at offset %d: header %s is not a number", r.Offset, h.Key)
		}
		found++
	}
	if found != 2 {
		return p, fmt.Errorf("dead letter at offset %d: without the headers that say where it comes from", r.Offset)
	}
	return p, nil
}
