package sqlsinktest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

// panics is an argument of a statement.
type panics struct{}

func (panics) Value() (driver.Value, error) { panic("told to") } //nolint:forbidigo // what a user's code may do

// outcomeCases are about what a Work of one's own returns, and what becomes of it.
var outcomeCases = []testCase{
	{name: "a batch without messages is not for Work", run: func(e *env) {
		a := e.works(func(context.Context, *sqlsink.Tx, sluice.Batch[event]) error {
			e.Error("Work was called")
			return nil
		})
		a.dead = map[int64]error{0: sluice.Poison(nil), 1: sluice.Poison(nil)}
		a.work([]event{{ID: 1}, {ID: 2}}, 10)
		e.wantOffset(2)
	}},
	{name: "the user's own outcome is the batch's", run: func(e *env) {
		log, want := inserts(3)
		mine := errors.New("my own")
		var next error
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			if err := e.writeRows(sqlsink.Insert)(ctx, tx, b); err != nil {
				return err
			}
			return next
		})
		for _, outcome := range []error{
			mine, sluice.Poison(mine), sluice.Skip("why"), sluice.RetryAfter(mine, time.Minute), sluice.Outage(mine),
			fmt.Errorf("wrapped: %w", sluice.Poison(mine)), sluice.Reclaim(mine),
		} {
			next = outcome
			before := a.sink.Stats()
			if err := a.handle(e.Context(), log, 3); !errors.Is(err, outcome) || err.Error() != outcome.Error() {
				e.Errorf("Handle: %v, want %v as it is", err, outcome)
			}
			if got := a.sink.Stats(); got != before {
				e.Errorf("after %v: %+v, want no try more: %+v", outcome, got, before)
			}
			e.wantRows()
			e.wantOffset(0)
		}
		if n := a.db.Stats().OpenConnections; n != 1 {
			e.Errorf("%d connections: those with nothing wrong are kept", n)
		}
		next = nil
		a.work(log, 3)
		e.wantRows(want...)
	}},
	{name: "a BatchError of the user's own", run: func(e *env) {
		log, want := inserts(6)
		away := errors.New("no such customer")
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			if err := e.writeRows(sqlsink.Insert)(ctx, tx, b); err != nil {
				return err
			}
			failed := map[int]error{}
			for i, m := range b.Messages {
				if m.Value.ID%4 == 1 {
					failed[i] = sluice.Poison(away)
				}
			}
			if len(failed) > 0 {
				return fmt.Errorf("some failed: %w", &sluice.BatchError{Failed: failed})
			}
			return nil
		})
		a.work(log, 6)
		e.wantRows(want[0], want[2], want[3], want[4])
		a.wantDead(1, 5)
		for _, i := range []int{-1, 3} {
			b := e.works(func(context.Context, *sqlsink.Tx, sluice.Batch[event]) error {
				return &sluice.BatchError{Failed: map[int]error{i: away}}
			})
			err := b.handle(e.Context(), make([]event, 9), 9)
			if err == nil || !strings.Contains(err.Error(), "names index") || IsOutage(err) {
				e.Errorf("index %d of 3: Handle: %v", i, err)
			}
		}
	}},
	{name: "the user's own outcome of an error of the database", run: func(e *env) {
		log, _ := inserts(3)
		log[1].Note = nil
		for _, makes := range []func(error) error{
			sluice.Poison, sluice.Outage, func(err error) error { return sluice.RetryAfter(err, time.Minute) },
		} {
			calls := 0
			var outcome error
			a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
				calls++
				outcome = makes(e.writeRows(sqlsink.Insert)(ctx, tx, b))
				return outcome
			})
			if err := a.handle(e.Context(), log, 3); !errors.Is(err, outcome) || calls != 1 {
				e.Errorf("Handle: %v after %d calls, want %v, and no search", err, calls, outcome)
			}
			e.wantOffset(0)
		}
	}},
	{name: "the context ends in Work", run: func(e *env) {
		left := errors.New("the partition left")
		a := e.works(func(ctx context.Context, _ *sqlsink.Tx, _ sluice.Batch[event]) error {
			<-ctx.Done()
			return errors.New("interrupted")
		})
		ctx, cancel := context.WithCancelCause(e.Context())
		cancel(left)
		if err := a.handle(ctx, []event{{ID: 1}}, 1); !errors.Is(err, left) || IsOutage(err) {
			e.Errorf("Handle: %v, want why it ended", err)
		}
		ctx, cancel2 := context.WithTimeout(e.Context(), 50*time.Millisecond)
		defer cancel2()
		if err := a.handle(ctx, []event{{ID: 1}}, 1); !IsOutage(err) {
			e.Errorf("Handle: %v, want an outage: a deadline uses up no attempts", err)
		}
	}},
	{name: "a panic", run: func(e *env) {
		log, _ := inserts(3)
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			_ = e.insert(ctx, tx, b.Messages[0].Value)
			panic("told to") //nolint:forbidigo // what a user's code may do
		})
		err := a.handle(e.Context(), log, 3)
		if p, ok := errors.AsType[*sluice.PanicError](err); !ok || !strings.Contains(string(p.Stack), "sqlsinktest") {
			e.Errorf("Handle: %v, want a PanicError with its stack", err)
		}
		e.wantRows()
		e.wantOffset(0)
	}},
	{name: "an argument that panics inside database/sql", run: func(e *env) {
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, _ sluice.Batch[event]) error {
			return tx.QueryRowContext(ctx, e.sql("select ?"), panics{}).Scan(new(any))
		})
		err := e.result("the panic", e.async(func() error { return a.handle(e.Context(), []event{{ID: 1}}, 1) }))
		if _, ok := errors.AsType[*sluice.PanicError](err); !ok {
			e.Errorf("Handle: %v, want a PanicError", err)
		}
	}},
	{name: "a lost connection is an outage, whatever Work makes of it", run: func(e *env) {
		log, want := inserts(3)
		for name, makes := range map[string]func(error) error{
			"nothing":      func(error) error { return nil },
			"its own":      func(error) error { return errors.New("something went wrong") },
			"text":         func(err error) error { return fmt.Errorf("insert: %v", err) }, //nolint:errorlint // what a user's code may do
			"a panic":      func(err error) error { panic(err) },                           //nolint:forbidigo // likewise
			"another one":  func(error) error { panic("lost") },                            //nolint:forbidigo // likewise
			"what it is":   func(err error) error { return err },
			"what it says": func(err error) error { return fmt.Errorf("insert: %w", err) },
		} {
			var failed error
			a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
				failed = nil
				for _, m := range b.Messages {
					if err := e.insert(ctx, tx, m.Value); err != nil && failed == nil {
						failed = err
					}
				}
				if failed != nil {
					return makes(failed)
				}
				return nil
			})
			for _, fault := range []func(string){a.faults.Drop, a.faults.LoseAnswer} {
				fault("insert into")
				if err := a.handle(e.Context(), log, 3); !IsOutage(err) {
					e.Errorf("Work makes of it %s: Handle: %v, want an outage", name, err)
				}
				e.wantRows()
			}
			a.work(log, 3)
			e.wantRows(want...)
			a.wantNoDeadLetters()
			e.exec("delete from " + table)
			e.exec("delete from sluice_offsets")
		}
	}},
	{name: "an error of a value that Work swallows", run: func(e *env) {
		log, want := inserts(5)
		log[2].Note = strings.Repeat("x", 21)
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			for _, m := range b.Messages {
				_ = e.insert(ctx, tx, m.Value)
			}
			return nil
		})
		a.work(log, 5)
		e.wantRows(want[0], want[1], want[3], want[4])
		e.wantOffset(5)
		if e.setup.Dialect.String() == "PostgreSQL" { // which had taken all of the batch back
			a.wantDead(2)
		} else {
			a.wantDead()
		}
	}},
	{name: "an error of a value that Work finds out about later", run: func(e *env) {
		log, want := inserts(5)
		log[2].Note = strings.Repeat("x", 21)
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) (last error) {
			for _, m := range b.Messages {
				if err := e.insert(ctx, tx, m.Value); err != nil {
					last = err // on PostgreSQL that is only what follows from it
				}
			}
			return last
		})
		a.work(log, 5)
		e.wantRows(want[0], want[1], want[3], want[4])
		a.wantDead(2)
	}},
	{name: "a connection that dies unseen", unless: func(s Setup) bool { return s.LocksForever }, run: func(e *env) {
		log, want := inserts(3)
		dies := true
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			if err := e.writeRows(sqlsink.Insert)(ctx, tx, b); err != nil || !dies {
				return err
			}
			e.closeSessions()
			return errors.New("the rows ended early") // as a driver says it that has no code for it
		})
		if err := a.handle(e.Context(), log, 3); !IsOutage(err) {
			e.Errorf("Handle: %v, want an outage", err)
		}
		dies = false
		a.work(log, 3)
		e.wantRows(want...)
	}},
	{name: "an error of a value, behind a savepoint of the user's own", run: func(e *env) {
		log, want := inserts(5)
		log[2].Note = nil
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			for _, m := range b.Messages {
				if _, err := tx.ExecContext(ctx, "savepoint mine"); err != nil {
					return err
				}
				text := "release savepoint mine"
				if err := e.insert(ctx, tx, m.Value); err != nil {
					text = "Rollback to mine"
				}
				if _, err := tx.ExecContext(ctx, text); err != nil {
					return err
				}
			}
			return nil
		})
		a.work(log, 5)
		e.wantRows(want[0], want[1], want[3], want[4])
		a.wantDead()
	}},
	{name: "wrong SQL is nobody's poison", run: func(e *env) {
		for _, text := range []string{"selekt 1", "insert into nowhere values (1)", "update " + table + " set nothing = 1"} {
			for _, hides := range []bool{false, true} {
				a := e.works(func(ctx context.Context, tx *sqlsink.Tx, _ sluice.Batch[event]) error {
					_, err := tx.ExecContext(ctx, text)
					if hides {
						return nil
					}
					return err
				})
				if err := a.handle(e.Context(), []event{{ID: 1}, {ID: 2}}, 2); !IsOutage(err) {
					e.Errorf("%s: Handle: %v, want an outage", text, err)
				}
				e.wantOffset(0)
			}
		}
	}},
	{name: "an outcome of the user's own while poison is searched for", run: func(e *env) {
		log, want := inserts(8)
		log[5].Note = nil
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			for i, m := range b.Messages {
				if err := e.insert(ctx, tx, m.Value); err != nil {
					return err
				}
				switch m.Value.ID {
				case 6:
					return &sluice.BatchError{Failed: map[int]error{i: sluice.Skip("not wanted")}}
				case 7:
					panic("told to") //nolint:forbidigo // what a user's code may do
				}
			}
			return nil
		})
		err := a.handle(e.Context(), log, 8)
		if failed, ok := errors.AsType[*sluice.BatchError](err); !ok || len(failed.Failed) != 1 || failed.Failed[6] == nil {
			e.Errorf("Handle: %v, want the outcome of message 6", err)
		}
		if err = a.handle(e.Context(), log, 8); len(a.dead) != 2 {
			e.Errorf("Handle: %v, want an outcome of one message, the last", err)
		}
		a.work(log, 8)
		e.wantRows(want[:5]...)
		if a.dead[5] == nil || a.dead[6] == nil || a.dead[7] == nil || len(a.dead) != 3 {
			e.Errorf("%v", a.dead)
		}
	}},
	{name: "a deadlock calls Work again", unless: func(s Setup) bool { return s.LocksForever }, run: func(e *env) {
		e.works(e.writeRows(sqlsink.Insert)) // makes the tables
		e.exec("insert into " + table + " values (0, 'x', 0), (1, 'x', 0)")
		var holds [2]chan struct{}
		var met [2]bool
		deadlocked := func(n int, hides bool) *assignment {
			return e.works(func(ctx context.Context, tx *sqlsink.Tx, _ sluice.Batch[event]) error {
				for i, id := range []int{n, 1 - n} {
					if i == 1 && !met[n] { // both hold one row and want the other, once
						met[n] = true
						close(holds[n])
						<-holds[1-n]
					}
					if _, err := tx.ExecContext(ctx, e.sql("update "+table+" set n = n + 1 where id = ?"), id); err != nil {
						if hides {
							return nil
						}
						return err
					}
				}
				return nil
			}, func(c *sqlsink.TxConfig[event]) { c.Limits.Idle = 30 * time.Second })
		}
		for _, hides := range []bool{false, true} {
			met, holds = [2]bool{}, [2]chan struct{}{make(chan struct{}), make(chan struct{})}
			e.exec("update " + table + " set n = 0")
			e.exec("delete from sluice_offsets")
			one, two := deadlocked(0, hides), deadlocked(1, hides)
			two.request.Partition = 1
			two.again()
			one.again()
			done := e.async(func() error { return one.handle(e.Context(), make([]event, 1), 1) })
			if err := two.handle(e.Context(), make([]event, 1), 1); err != nil {
				e.Errorf("Handle: %v", err)
			}
			if err := e.result("the other partition", done); err != nil {
				e.Errorf("Handle: %v", err)
			}
			e.wantRows("0=x/2", "1=x/2")
			if one.sink.Stats().Retries+two.sink.Stats().Retries == 0 {
				e.Error("no retry: there was no deadlock")
			}
		}
	}},
}
