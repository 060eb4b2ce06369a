package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// output is one row, or one record, that a job has written about a record of the ledger.
type output struct {
	at     coordinate
	entry  entry
	member string
}

// outputs are what a job has written, those of a key in the order in which they were written.
func (f *fleet) outputs(ctx context.Context, l *ledger) ([]output, error) {
	if f.database != nil {
		return f.database.rows(ctx, f.job)
	}
	var all []output
	var bad error
	err := readCommitted(ctx, l.seeds, f.job.table(), func(r *kgo.Record) {
		o := output{entry: entry{key: string(r.Key)}}
		if _, err := fmt.Sscanf(string(r.Value), "%d %d %d %s", &o.at.partition, &o.at.offset, &o.entry.number, &o.member); err != nil {
			bad = fmt.Errorf("%s has %q at %d/%d: %w", r.Topic, r.Value, r.Partition, r.Offset, err)
		}
		all = append(all, o)
	})
	if err == nil {
		err = bad
	}
	return all, err
}
