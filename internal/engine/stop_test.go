package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// asked has something happen when it is first asked for its deadline.
type asked struct {
	context.Context
	first func()
}

func (a asked) Deadline() (time.Time, bool) {
	a.first()
	return a.Context.Deadline()
}

// A partition that is lost when the stop has begun, but its drain has not, is one whose drain was cut short: what it had finished runs again
// elsewhere.
func TestInvariant10ALossRightBeforeTheDrainIsTold(t *testing.T) {
	route := &Route{Topics: []string{"t"}, Workers: 1, Handle: func(context.Context, *Work, *kgo.Record, int) Outcome { return Outcome{} }}
	e, err := New(Config{
		Group: "g", Routes: []*Route{route}, Logger: slog.New(slog.DiscardHandler), MaxBytes: 1 << 20,
		CommitTimeout: time.Second, DrainTimeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.cancelClient()
	if e.client, err = kgo.NewClient(); err != nil {
		t.Fatal(err)
	}
	defer e.client.Close()
	e.mu.Lock()
	a := e.newAssignment(part{"t", 0}, route)
	a.start(position{next: 0, epoch: -1, committed: 0})
	a.tracker.Take(0, -1)
	a.tracker.Finish(0)
	e.unlock()
	var once sync.Once
	err = e.stop(asked{t.Context(), func() {
		once.Do(func() { e.onLost(t.Context(), nil, map[string][]int32{"t": {0}}) })
	}})
	if !errors.Is(err, ErrLost) {
		t.Errorf("invariant 10: the stop says %v", err)
	}
}
