package engine

import (
	"context"
	"errors"
	"testing"
)

// A commit that only waited for the one before was not sent: the client is as good as before.
func TestACommitThatWaitsInVainWasNotSent(t *testing.T) {
	e, _ := newTransacting(t)
	e.committing <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := e.commitAlone(ctx, new(settling), nil)
	if !errors.Is(err, context.Canceled) || !goesAway(err) {
		t.Errorf("%v, and the client would be made anew for it", err)
	}
}
