package sqlsink_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/sqlsink/sqlsinktest"
	"github.com/sluice-go/sluice/test/servers"
)

// The network is cut at every single piece that passes between a sink and its database, from the greeting of a new connection to the
// answer of the last COMMIT, in four ways.
func TestCutAtEveryPoint(t *testing.T) {
	t.Parallel()
	for name, c := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.server(t).Database(t)
			direct := d.Open(t)
			if err := ledger(t, direct, c.dialect, sqlsink.Limits{}).Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			k := &cuts{T: t, database: c, at: d}
			k.attempt(cutBefore, math.MaxInt) // which counts the pieces
			pieces := k.pieces
			var wg sync.WaitGroup
			slots := make(chan struct{}, 8) // a black hole takes seconds
			for _, how := range []cut{cutBefore, cutInside, cutAfter, cutBlackHole} {
				for piece := range pieces {
					slots <- struct{}{}
					wg.Go(func() {
						k.attempt(how, piece)
						<-slots
					})
				}
			}
			wg.Wait()
			t.Logf("%d cuts in %d attempts on %d pieces", k.happened.Load(), k.attempts.Load(), pieces)
			if got, all := int(k.happened.Load()), 4*pieces; got < all*9/10 { // the network may put two pieces into one
				t.Errorf("only %d of %d cuts happened", got, all)
			}
			wantEachOnce(t, direct, k.attempts.Load()*cutRows)
		})
	}
}

const cutRows = 10 // of an attempt: three statements

// cuts are attempts on one database, each of them a partition, a sink and a wire of its own.
type cuts struct {
	*testing.T

	database database
	at       servers.DB
	pieces   int
	attempts atomic.Int64
	happened atomic.Int64
}

// attempt claims a partition and writes a batch, over a wire that is cut at a piece.
func (k *cuts) attempt(how cut, piece int) {
	n := k.attempts.Add(1) - 1
	w := newWire(k, k.at)
	defer w.close() // the server has a limit to its sessions
	limits := sqlsink.Limits{Idle: time.Second, Lock: time.Second, Statement: 500 * time.Millisecond}
	sink := ledger(k.T, w.through(k, k.at), k.database.dialect, limits)
	request := sluice.ClaimRequest{
		Group: "g", Topic: "t", Partition: int32(n), Committed: -1,
		Start: func(context.Context) (int64, error) { return 0, nil },
	}
	w.arm(how, piece)
	for deadline := time.Now().Add(time.Minute); ; {
		err := k.write(sink, request, n, deadline)
		if err == nil {
			break
		}
		if time.Now().After(deadline) || k.Failed() {
			k.Errorf("cut %s, piece %d: %v", how, piece, err)
			break
		}
	}
	if w.disarmed() {
		k.happened.Add(1)
	}
	if piece == math.MaxInt {
		k.pieces = w.passed
	}
}

// write does as the engine does, until the batch is in the database or the partition has to be claimed again.
func (k *cuts) write(sink *sqlsink.Sink[int64], request sluice.ClaimRequest, n int64, deadline time.Time) error {
	claim, err := sink.Claim(k.Context(), request)
	if err != nil {
		if sluice.IsRefused(err) {
			k.Error(err)
		}
		return err
	}
	if claim.Next == cutRows {
		return nil
	}
	b := sluice.Batch[int64]{Topic: request.Topic, Partition: request.Partition, Next: cutRows, Claim: claim.Token}
	for i := range int64(cutRows) {
		b.Messages = append(b.Messages, sluice.Message[int64]{Value: n*cutRows + i})
	}
	err = sink.Handle(k.Context(), b)
	for sqlsinktest.IsOutage(err) && time.Now().Before(deadline) {
		err = sink.Handle(k.Context(), b)
	}
	if err != nil && !sqlsinktest.IsReclaim(err) && !sqlsinktest.IsOutage(err) {
		k.Errorf("partition %d: %v", request.Partition, err)
	}
	return err
}
