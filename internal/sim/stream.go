package sim

import (
	"context"

	"github.com/sluice-go/sluice"
)

// handleStream is the handler of a StreamRoute. What it returns is the outcome of the record that it had last.
func (p *process) handleStream(ctx context.Context, s *sluice.Stream[*record]) error {
	for m := range s.Messages() {
		if err := p.handle(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
