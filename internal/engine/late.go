package engine

import "time"

// A commit that was not answered may still arrive, after one that was: in a broker that was frozen, or by a network that was away, as a
// closed connection still delivers what was written to it. Brokers take it, as it is of the same member and generation, and the
// group's offset goes back. The client itself sends commits again. Nothing fences them, so for a while after one was not answered those
// that are answered count for nothing: they are made again, though nothing came. Then a partition where nothing comes is not left behind.

const (
	lateFor   = 2 * time.Minute // after which nothing of a closed connection is delivered any more, by the defaults of Linux
	lateAgain = 5 * time.Second
)

// unansweredCommit notes that a commit of ours was written, or may have been, and not answered. It takes no lock.
func (e *Engine) unansweredCommit(now time.Time) { e.unanswered.Store(now.UnixNano()) }

// mayComeLate tells whether a commit may still arrive that was not answered.
func (e *Engine) mayComeLate(now time.Time) bool {
	return now.UnixNano()-e.unanswered.Load() < int64(lateFor)
}
