package sqlsinktest

import (
	"time"

	"github.com/sluice-go/sluice"
)

// zombieCases are about a process that is stopped, loses its partition and goes on as if nothing had happened.
var zombieCases = []testCase{
	{name: "frozen after the fence", run: func(e *env) { frozenInTransaction(e, "insert into") }},
	{name: "frozen before COMMIT", run: func(e *env) { frozenInTransaction(e, "commit") }},
	{name: "frozen before its transaction", run: func(e *env) {
		log, want := inserts(10)
		old := e.process(insertMode).claimed()
		reached, thaw := old.faults.Freeze(beginText(e))
		defer thaw()
		done := e.async(func() error { return old.handle(e.Context(), log, 5) })
		e.wait("the freeze", reached)
		owner := e.process(insertMode).claimed()
		owner.work(log[:7], 7)
		thaw()
		if err := e.result("the zombie", done); !IsReclaim(err) {
			e.Errorf("the zombie's batch: %v, want a reclaim", err)
		}
		e.wantRows(want[:7]...)
		owner.work(log, 5)
		e.wantRows(want...)
		owner.wantNoDeadLetters()
		old.wantNoDeadLetters()
	}},
	{name: "frozen before its transaction, at the same offset", run: func(e *env) {
		log, want := inserts(5)
		old := e.process(insertMode).claimed()
		reached, thaw := old.faults.Freeze(beginText(e))
		defer thaw()
		done := e.async(func() error { return old.handle(e.Context(), log, 5) })
		e.wait("the freeze", reached)
		owner := e.process(insertMode).claimed() // has written nothing yet
		thaw()
		if err := e.result("the zombie", done); !IsReclaim(err) {
			e.Errorf("the zombie's batch: %v, want a reclaim", err)
		}
		e.wantRows()
		owner.work(log, 5)
		e.wantRows(want...)
	}},
	{name: "frozen before its transaction, another owner has written the same batch", run: func(e *env) {
		log, want := inserts(5)
		old := e.process(insertMode).claimed()
		reached, thaw := old.faults.Freeze(beginText(e))
		defer thaw()
		done := e.async(func() error { return old.handle(e.Context(), log, 5) })
		e.wait("the freeze", reached)
		e.process(insertMode).claimed().work(log, 5)
		thaw()
		if err := e.result("the zombie", done); !IsReclaim(err) {
			e.Errorf("the zombie's batch: %v, want a reclaim: it is written, but the partition is not ours", err)
		}
		e.wantRows(want...)
	}},
	{name: "a late claim takes the partition from its true owner", run: func(e *env) {
		log, want := inserts(20)
		owner := e.process(insertMode).claimed()
		owner.work(log[:5], 5)
		late := e.process(insertMode).claimed() // was frozen between its assignment and this claim
		if err := owner.handle(e.Context(), log, 10); !IsReclaim(err) {
			e.Errorf("the true owner's batch: %v, want a reclaim", err)
		}
		owner.again()
		if err := late.handle(e.Context(), log, 12); !IsReclaim(err) {
			e.Errorf("the late one's batch: %v, want a reclaim", err)
		}
		owner.work(log, 5)
		e.wantRows(want...)
		owner.wantNoDeadLetters()
		late.wantNoDeadLetters()
	}},
	{name: "a restored database gives an owner epoch twice", run: func(e *env) {
		log, want := inserts(10)
		p := e.process(insertMode)
		p.claimed().work(log[:5], 5)
		before := e.process(insertMode).claimed() // epoch 2
		e.exec("update sluice_offsets set owner_epoch = 1, owner = 'restored'")
		owner := p.claimed() // epoch 2 again
		if err := before.handle(e.Context(), log, 10); !IsReclaim(err) {
			e.Errorf("the batch of the owner before: %v, want a reclaim", err)
		}
		e.wantRows(want[:5]...)
		owner.work(log, 5)
		e.wantRows(want...)
	}},
	{name: "a batch of an earlier claim of the same process", run: func(e *env) {
		log, want := inserts(10)
		p := e.process(insertMode)
		before, now := p.claimed(), p.claimed()
		if err := before.handle(e.Context(), log, 5); !IsReclaim(err) {
			e.Errorf("the earlier claim's batch: %v, want a reclaim", err)
		}
		now.work(log, 5)
		e.wantRows(want...)
	}},
	{name: "poison is searched for by a zombie", run: func(e *env) {
		log, _ := inserts(10)
		log[3].Note = nil
		old := e.process(insertMode).claimed()
		reached, thaw := old.faults.Freeze("rollback")
		defer thaw()
		done := e.async(func() error { return old.handle(e.Context(), log, 10) })
		e.wait("the freeze", reached)
		if e.setup.LocksForever { // the transaction is still open, and nobody can end it
			thaw()
			if err := e.result("the batch", done); err == nil {
				e.Error("the batch was written")
			}
			return
		}
		owner := e.process(insertMode).claimed()
		owner.work(log[:2], 2)
		thaw()
		for err := e.result("the zombie", done); !IsReclaim(err); err = old.handle(e.Context(), log, 10) {
			if len(old.dead) > 0 || err == nil {
				e.Fatalf("the zombie's batch: %v", err)
			}
		}
		e.wantOffset(2)
	}},
}

func frozenInTransaction(e *env, at string) {
	log, want := inserts(10)
	heir := e.process(insertMode, func(c *config) {
		if e.setup.LocksForever {
			c.Limits.Lock = 300 * time.Millisecond
		}
	})
	old := e.process(insertMode, func(c *config) { c.Limits.Idle = time.Second }).claimed()
	reached, thaw := old.faults.Freeze(at)
	defer thaw()
	done := e.async(func() error { return old.handle(e.Context(), log, 5) })
	e.wait("the freeze", reached)

	if e.setup.LocksForever {
		// Nobody else can write, so nothing can go wrong: the claim has to wait, and begins after the zombie's batch.
		if _, err := heir.sink.Claim(e.Context(), heir.request("g", "t", 0)); err == nil || sluice.IsRefused(err) {
			e.Fatalf("a claim while the database is locked: %v", err)
		}
		thaw()
		if err := e.result("the frozen batch", done); err != nil {
			e.Errorf("the frozen batch: %v", err)
		}
		owner := heir.claimed()
		if owner.next != 5 {
			e.Errorf("the next owner begins at %d", owner.next)
		}
		owner.work(log, 5)
		e.wantRows(want...)
		return
	}

	began := time.Now()
	owner := heir.claimed()
	if took := time.Since(began); took > 6*time.Second {
		e.Errorf("the claim took %v, though the zombie's session may be silent for 1s only", took)
	}
	owner.work(log[:7], 7)
	thaw()
	err := e.result("the zombie", done)
	for range 5 {
		if err == nil {
			e.Fatal("the zombie's batch: no error")
		}
		if IsReclaim(err) {
			break
		}
		err = old.handle(e.Context(), log, 5) // an outage: its connection is gone
	}
	if !IsReclaim(err) {
		e.Errorf("the zombie's batch: %v, want a reclaim", err)
	}
	e.wantRows(want[:7]...)
	owner.work(log, 5)
	e.wantRows(want...)
	owner.wantNoDeadLetters()
	old.wantNoDeadLetters()
}
