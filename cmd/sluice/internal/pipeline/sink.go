package pipeline

import (
	"context"
	"log/slog"

	"github.com/sluice-go/sluice"
)

// Sink is where the records of a pipeline go: a table or a topic. Close it.
type Sink interface {
	// Add adds the route of the pipeline's topics to an app.
	Add(app *sluice.App) error

	// Check looks whether the sink is there and fits, and changes nothing. It says what it found, and what Prepare would create.
	Check(ctx context.Context) (found string, err error)

	// Prepare creates what is missing and may be created, and checks the rest.
	Prepare(ctx context.Context) error

	// Counts are what came of the records so far. stats are the app's.
	Counts(stats sluice.Stats) Counts

	// LogAttrs name the sink in a log.
	LogAttrs() []any

	// Close gives up what the sink holds. Call it after the app's Run has returned.
	Close(ctx context.Context) error
}

// Counts are what came of a pipeline's records.
type Counts struct {
	Unit    string // what is written: rows, or records
	Written int64
	Skipped int64 // records of which nothing is written, by the filter or because they are tombstones
}

// Open makes the sink of a file; no connection is made yet. cfg is where its records come from. With readOnly it is good for Check alone.
func Open(spec *Spec, cfg sluice.Config, logger *slog.Logger, spans *Spans, readOnly bool) (Sink, error) {
	if spec.ToTopic() {
		return openTopic(spec, cfg, logger, spans)
	}
	return openTable(spec, logger, spans, readOnly)
}

// policy is what the file says about records that fail, and about commits.
func (s *Spec) policy() sluice.Policy {
	p := sluice.Policy{Commit: s.Commit, Ordering: s.Ordering, Retry: s.Retry}
	if s.DeadLetter != "" {
		p.OnFailure = sluice.DeadLetter{Topic: s.DeadLetter, Headers: s.DeadLetterHeaders}
	}
	return p
}
