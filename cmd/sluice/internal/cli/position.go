package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

const positions = "an offset, a time as in 2026-01-31T08:00:00Z, or an age as in -1h30m"

// position is a place in each partition of a topic: one of its ends, an offset, so many records before its end, or a time.
type position struct {
	kind   positionKind
	number int64 // of byOffset and beforeEnd
	at     time.Time
}

type positionKind int

const (
	atStart positionKind = iota
	atEnd
	byOffset
	beforeEnd
	byTime
)

// parseFrom reads --from.
func parseFrom(s string, now time.Time) (position, error) {
	switch s {
	case "earliest":
		return position{}, nil
	case "latest":
		return position{kind: atEnd}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n < 0 {
		return position{kind: beforeEnd, number: -n}, nil
	}
	if p, ok := parsePosition(s, now); ok {
		return p, nil
	}
	return position{}, usagef("--from %q: none of earliest, latest, -N for the last N of each partition, %s", s, positions)
}

// parseTo reads --to, and what -e says as well.
func parseTo(s string, now time.Time) (position, error) {
	if s == "now" {
		return position{kind: atEnd}, nil
	}
	if p, ok := parsePosition(s, now); ok {
		return p, nil
	}
	return position{}, usagef("--to %q: none of now, %s", s, positions)
}

func parsePosition(s string, now time.Time) (position, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return position{kind: byOffset, number: n}, n >= 0
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return position{kind: byTime, at: at}, true
	}
	if age, err := time.ParseDuration(s); err == nil && age < 0 {
		return position{kind: byTime, at: now.Add(age)}, true
	}
	return position{}, false
}

// window is what is to be read of a topic: from one place up to, but without, another one.
type window struct {
	topic       string
	partitions  []int32 // none: all
	from, to    position
	uncommitted bool
}

// complete takes from the properties what no flag says.
func (w window) complete(cfg sluice.Config, given func(flag string) bool) window {
	if !given("isolation") {
		w.uncommitted = cfg.ReadUncommitted
	}
	switch at := cfg.Start.Time(); {
	case given("from"), cfg.Start == sluice.Earliest():
	case cfg.Start == sluice.Latest():
		w.from = position{kind: atEnd}
	default:
		w.from = position{kind: byTime, at: at}
	}
	return w
}

// isolation is what a client is told.
func isolation(uncommitted bool) kgo.IsolationLevel {
	if uncommitted {
		return kgo.ReadUncommitted()
	}
	return kgo.ReadCommitted()
}

// resolve asks for the offsets of a window. No end lies beyond what is there now.
func (w window) resolve(ctx context.Context, admin *kadm.Client) (map[int32]kafka.Bound, error) {
	there, err := kafka.Topic(ctx, admin, w.topic)
	if err != nil {
		return nil, err
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("topic %s: no partition", w.topic)
	}
	all, err := kafka.ReadBounds(ctx, admin, w.uncommitted, w.topic)
	if err != nil {
		return nil, err
	}
	bounds := map[int32]kafka.Bound{}
	wanted := w.partitions
	if len(wanted) == 0 {
		wanted = there
	}
	for _, partition := range wanted {
		bound, ok := all[w.topic][partition]
		if !ok {
			return nil, fmt.Errorf("topic %s has no partition %d: its last one is %d", w.topic, partition, len(there)-1)
		}
		bounds[partition] = bound
	}
	starts, err := w.place(ctx, admin, w.from, bounds)
	if err != nil {
		return nil, err
	}
	ends, err := w.place(ctx, admin, w.to, bounds)
	if err != nil {
		return nil, err
	}
	for partition := range bounds {
		bounds[partition] = kafka.Bound{Start: starts[partition], End: ends[partition]}
	}
	return bounds, nil
}

// place resolves a position to offsets within bounds.
func (w window) place(ctx context.Context, admin *kadm.Client, p position, bounds map[int32]kafka.Bound) (map[int32]int64, error) {
	var after kadm.ListedOffsets
	if p.kind == byTime {
		var err error
		if after, err = admin.ListOffsetsAfterMilli(ctx, p.at.UnixMilli(), w.topic); err == nil {
			err = after.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("topic %s: find %v: %w", w.topic, p.at, err)
		}
	}
	out := map[int32]int64{}
	for partition, b := range bounds {
		at := b.Start
		switch p.kind {
		case atStart:
		case atEnd:
			at = b.End
		case byOffset:
			at = p.number
		case beforeEnd:
			at = b.End - p.number
		case byTime:
			o, _ := after.Lookup(w.topic, partition) // where there is no such record, the end
			at = o.Offset
		}
		out[partition] = min(max(at, b.Start), max(b.End, b.Start))
	}
	return out, nil
}
