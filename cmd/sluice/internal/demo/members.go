package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

// members are the apps that share the work, each with a client, a sink and a database handle of its own, as three
// processes would have.
type members struct {
	list   []*member
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed chan struct{} // closed when one ended with an error
	once   sync.Once

	mu   sync.Mutex
	errs []error
}

type member struct {
	name string
	app  *sluice.App
	sink pipeline.Sink
}

func startMembers(ctx context.Context, s *stage, abort <-chan struct{}, logger *slog.Logger) (*members, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	all := &members{cancel: cancel, failed: make(chan struct{})}
	for i := range memberCount {
		m, err := newMember(ctx, s, fmt.Sprintf("member %d", i+1), logger)
		if err != nil {
			return nil, errors.Join(err, all.stop())
		}
		all.list = append(all.list, m)
		ended := make(chan struct{})
		all.wg.Go(func() {
			defer close(ended)
			all.ended(errors.Join(m.app.Run(ctx), m.sink.Close(ctx)))
		})
		all.wg.Go(func() {
			select {
			case <-abort:
				m.app.Abort()
			case <-ended:
			}
		})
	}
	return all, nil
}

func newMember(ctx context.Context, s *stage, name string, logger *slog.Logger) (*member, error) {
	sink, err := pipeline.Open(s.spec, s.kafka, logger, nil, false)
	if err != nil {
		return nil, err
	}
	m := &member{name: name, sink: sink}
	if err = sink.Prepare(ctx); err == nil {
		m.app, err = sluice.New(s.kafka)
	}
	if err == nil {
		err = sink.Add(m.app)
	}
	if err != nil {
		return nil, errors.Join(err, sink.Close(ctx))
	}
	return m, nil
}

func (ms *members) ended(err error) {
	if err == nil {
		return
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.errs = append(ms.errs, err)
	ms.once.Do(func() { close(ms.failed) })
}

// stop drains all members, and returns what went wrong in any of them.
func (ms *members) stop() error {
	ms.cancel()
	ms.wg.Wait()
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return errors.Join(ms.errs...)
}
