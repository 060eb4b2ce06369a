package sqlsinktest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

// txCases are about what a Work may do with its transaction, and what it may not.
var txCases = []testCase{
	{name: "statements that end the transaction are refused", run: func(e *env) {
		texts := []string{"commit", " COMMIT work", "rollback", "Rollback Work", "begin", "start transaction", "/* a */ -- b\n ;Commit"}
		switch e.setup.Dialect.String() {
		case "PostgreSQL":
			texts = append(texts, "end", "abort", "prepare transaction 'x'", "rollback and chain")
		case "SQLite":
			texts = append(texts, "end transaction", "begin immediate")
		case "MySQL":
			texts = append(texts, "create table x (id int)", "truncate "+table, "drop table "+table,
				"lock tables "+table+" write", "# a\nbegin")
		}
		for _, text := range texts {
			for name, run := range map[string]func(context.Context, *sqlsink.Tx) error{
				"exec": func(ctx context.Context, tx *sqlsink.Tx) error { _, err := tx.ExecContext(ctx, text); return err },
				"query": func(ctx context.Context, tx *sqlsink.Tx) error {
					rows, err := tx.QueryContext(ctx, text)
					if err == nil {
						err = errors.Join(rows.Err(), rows.Close())
					}
					return err
				},
				"query row": func(ctx context.Context, tx *sqlsink.Tx) error { return tx.QueryRowContext(ctx, text).Scan(new(any)) },
				"prepare": func(ctx context.Context, tx *sqlsink.Tx) error {
					s, err := tx.PrepareContext(ctx, text)
					if err == nil {
						_ = s.Close()
					}
					return err
				},
			} {
				hides := strings.HasPrefix(text, "begin") // Work returns nil all the same
				a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
					if err := e.insert(ctx, tx, b.Messages[0].Value); err != nil {
						return err
					}
					err := run(ctx, tx)
					if err == nil {
						e.Errorf("%s %q: no error", name, text)
					}
					if after := e.insert(ctx, tx, b.Messages[1].Value); after == nil {
						e.Errorf("%s %q: another statement was run after it", name, text)
					}
					if hides {
						return nil
					}
					return err
				})
				err := a.handle(e.Context(), []event{{ID: 1, Note: "a"}, {ID: 2, Note: "b"}}, 2)
				if !IsOutage(err) || !strings.Contains(err.Error(), "was not run") {
					e.Errorf("%s %q: Handle: %v", name, text, err)
				}
				e.wantRows()
				e.wantOffset(0)
			}
		}
	}},
	{name: "a COMMIT that hides is noticed, and nothing is done twice", run: func(e *env) {
		hidden := []string{"select 1; commit", "select 1; rollback", "select 1; commit; begin"}
		if e.setup.Dialect.String() == "MySQL" {
			hidden = []string{"execute hidden"}
		}
		for n := range 3 * len(hidden) {
			text, then := hidden[n/3], n%3
			if then == 2 && strings.Contains(text, "rollback") {
				continue // of that nothing can be seen afterwards
			}
			e.exec("drop table if exists " + table)
			calls := 0
			a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
				calls++
				for _, m := range b.Messages {
					if m.Value.ID == 1 && then == 1 {
						return errors.New("my own")
					}
					if m.Value.ID == 1 && then == 2 {
						_, err := tx.ExecContext(ctx, "selekt 1")
						return err
					}
					if err := e.insert(ctx, tx, m.Value); err != nil {
						return err
					}
					if m.Value.ID == 0 {
						if text == "execute hidden" {
							if _, err := tx.ExecContext(ctx, "prepare hidden from 'commit'"); err != nil {
								return err
							}
						}
						if _, err := tx.ExecContext(ctx, text); err != nil {
							return err
						}
					}
				}
				return nil
			})
			log, _ := inserts(4)
			for call := range 3 {
				err := a.handle(e.Context(), log, 2)
				told := strings.Contains(fmt.Sprint(err), "Work has ended the fenced transaction")
				if !IsOutage(err) || (!told && (then < 2 || call > 0)) {
					e.Errorf("%q, then %d: Handle: %v", text, then, err)
				}
			}
			if calls != 1 {
				e.Errorf("%q: Work was called %d times, for records that may be in the database", text, calls)
			}
			e.exec("delete from sluice_offsets")
		}
	}},
	{name: "a Tx that is used after Work has returned", run: func(e *env) {
		log, want := inserts(6)
		var kept *sqlsink.Tx
		var statement *sql.Stmt
		var open *sql.Rows
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) (err error) {
			if err := e.writeRows(sqlsink.Insert)(ctx, tx, b); err != nil {
				return err
			}
			if kept == nil {
				kept = tx
				if statement, err = tx.PrepareContext(ctx, "delete from "+table); err != nil {
					return err
				}
				open, err = tx.QueryContext(ctx, "select id from "+table)
				return err
			}
			// From another goroutine, while the connection serves another batch.
			return e.result("the goroutine", e.async(func() error {
				uses := map[string]func() error{
					"exec":      func() error { _, err := kept.ExecContext(ctx, "delete from "+table); return err },
					"query row": func() error { return kept.QueryRowContext(ctx, "select 1").Scan(new(int)) },
					"prepare": func() error {
						s, err := kept.PrepareContext(ctx, "select 1")
						if err == nil {
							_ = s.Close()
						}
						return err
					},
					"query": func() error {
						rows, err := kept.QueryContext(ctx, "select 1")
						if err == nil {
							err = errors.Join(rows.Err(), rows.Close())
						}
						return err
					},
				}
				for name, use := range uses {
					if err := use(); !errors.Is(err, sql.ErrTxDone) {
						e.Errorf("%s after Work has returned: %v, want sql.ErrTxDone", name, err)
					}
				}
				if _, err := statement.ExecContext(ctx); err == nil {
					e.Error("a prepared statement outlives its transaction")
				}
				if open.Next() {
					e.Error("rows outlive their transaction")
				}
				return nil
			}))
		})
		a.work(log, 3)
		e.wantRows(want...)
		if n := a.db.Stats().OpenConnections; n != 1 {
			e.Errorf("%d connections, want the two batches on one", n)
		}
	}},
	{name: "what Work leaves open is closed", run: func(e *env) {
		log, want := inserts(40)
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			if err := e.writeRows(sqlsink.Insert)(ctx, tx, b); err != nil {
				return err
			}
			statement, err := tx.PrepareContext(ctx, "select id from "+table)
			if err != nil {
				return err
			}
			switch b.Messages[0].Value.ID / 10 {
			case 0:
				rows, err := tx.QueryContext(ctx, "select id from "+table)
				_ = err == nil && rows.Next()
				return err
			case 1:
				return tx.QueryRowContext(ctx, "select id from "+table).Err() // and no Scan
			case 2:
				rows, err := statement.QueryContext(ctx)
				_ = err == nil && rows.Next()
				return err
			}
			return nil
		})
		a.work(log, 10)
		e.wantRows(want...)
		if n, stats := a.db.Stats().OpenConnections, a.sink.Stats(); n != 1 || stats.Retries > 0 {
			e.Errorf("%d connections, %+v", n, stats)
		}
		for _, err := range a.seen {
			e.Errorf("Handle: %v", err)
		}
	}},
	{name: "prepared statements and queries", run: func(e *env) {
		log, want := inserts(9)
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			insert, err := tx.PrepareContext(ctx, e.sql("insert into "+table+" values (?, ?, ?)"))
			if err != nil {
				return err
			}
			defer func() { _ = insert.Close() }()
			for _, m := range b.Messages {
				if _, err := insert.ExecContext(ctx, m.Value.ID, m.Value.Note, m.Value.N); err != nil {
					return err
				}
			}
			var seen int64
			if err := tx.QueryRowContext(ctx, e.sql("select count(*) from "+table+" where id <= ?"), b.Next).Scan(&seen); err != nil {
				return err
			}
			if seen != b.Next && b.Next <= 9 { // later ones are poison
				return fmt.Errorf("it sees %d rows", seen)
			}
			return nil
		})
		a.work(log, 3)
		e.wantRows(want...)
		log = append(log, event{ID: 9}, event{ID: 9, Note: "n", N: 9}, event{ID: 9, Note: "n"})
		want = append(want, "9=n/9")
		a.work(log, 3)
		a.wantDead(9, 11)
		e.wantRows(want...)
	}},
	{name: "limits hold for Work's statements", run: func(e *env) {
		slow := map[string]string{
			"PostgreSQL": "select pg_sleep(60)",
			"MySQL":      "select sleep(60)",
			"SQLite":     "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n",
		}[e.setup.Dialect.String()]
		for name, run := range map[string]func(context.Context, *sqlsink.Tx) error{
			"exec": func(ctx context.Context, tx *sqlsink.Tx) error { _, err := tx.ExecContext(ctx, slow); return err },
			"query": func(ctx context.Context, tx *sqlsink.Tx) error {
				return tx.QueryRowContext(ctx, slow).Scan(new(any))
			},
			"prepared": func(ctx context.Context, tx *sqlsink.Tx) error {
				s, err := tx.PrepareContext(ctx, slow)
				if err != nil {
					return err
				}
				defer func() { _ = s.Close() }()
				_, err = s.ExecContext(ctx)
				return err
			},
		} {
			a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
				if err := e.insert(ctx, tx, b.Messages[0].Value); err != nil {
					return err
				}
				return run(context.WithoutCancel(ctx), tx)
			}, func(c *sqlsink.TxConfig[event]) { c.Limits.Statement, c.Limits.Lock = time.Second, time.Second })
			began := time.Now()
			if err := a.handle(e.Context(), []event{{ID: 1, Note: "x"}}, 1); !IsOutage(err) || time.Since(began) > 20*time.Second {
				e.Errorf("%s: Handle: %v after %v, want an outage after a second or two", name, err, time.Since(began))
			}
			e.wantRows()
			e.wantOffset(0)
		}
	}},
	{name: "two tables change together", run: func(e *env) {
		log, want := inserts(60)
		e.exec("create table totals (name varchar(20) not null primary key, records bigint, total bigint)")
		e.exec("insert into totals values ('all', 0, 0)")
		a := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			var total int64
			for _, m := range b.Messages {
				if err := e.insert(ctx, tx, m.Value); err != nil {
					return err
				}
				total += m.Value.N
			}
			_, err := tx.ExecContext(ctx, e.sql("update totals set records = records + ?, total = total + ?"), len(b.Messages), total)
			return err
		})
		var next int64
		for _, text := range []string{beginText(e), "update sluice", "savepoint", "insert into", "update totals", "release", "commit"} {
			for _, fault := range []func(string){a.faults.Drop, a.faults.LoseAnswer} {
				fault(text)
				next += 4
				a.work(log[:next], 4)
				e.wantTotals(next)
			}
		}
		a.work(log, 4)
		e.wantTotals(60)
		e.wantRows(want...)
		a.wantNoDeadLetters()
	}},
	{name: "a zombie that wakes up in its Work", unless: func(s Setup) bool { return s.LocksForever }, run: func(e *env) {
		log, want := inserts(10)
		woken, asleep := make(chan struct{}), make(chan struct{})
		var once sync.Once
		old := e.works(func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
			if err := e.insert(ctx, tx, b.Messages[0].Value); err != nil {
				return err
			}
			once.Do(func() { close(asleep); <-woken }) // longer than Limits.Idle: the database has ended it by then
			for _, m := range b.Messages[1:] {
				if err := e.insert(ctx, tx, m.Value); err != nil {
					return err
				}
			}
			return nil
		})
		done := e.async(func() error { return old.handle(e.Context(), log, 5) })
		e.wait("the sleep", asleep)
		owner := e.works(e.writeRows(sqlsink.Insert))
		owner.work(log[:7], 7)
		close(woken)
		err := e.result("the zombie", done)
		for range 5 {
			if err == nil || IsReclaim(err) {
				break
			}
			err = old.handle(e.Context(), log, 5)
		}
		if !IsReclaim(err) {
			e.Errorf("the zombie's batch: %v, want a reclaim", err)
		}
		owner.work(log, 3)
		e.wantRows(want...)
		owner.wantNoDeadLetters()
		old.wantNoDeadLetters()
	}},
}

func (e *env) wantTotals(n int64) {
	e.Helper()
	var records, total, count int64
	const text = "select records, total, (select count(*) from " + table + ") from totals"
	err := e.admin.QueryRowContext(e.Context(), text).Scan(&records, &total, &count)
	if err != nil || records != n || count != n || total != n*(n-1)/2 {
		e.Errorf("%d rows; totals of %d records, %d (%v); want %d records", count, records, total, err, n)
	}
	e.wantOffset(n)
}
