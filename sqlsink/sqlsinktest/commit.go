package sqlsinktest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/sluice-go/sluice"
)

// commitCases are about the moment that decides. All of them insert: a row that is written twice would be a duplicate key.
var commitCases = []testCase{
	{name: "COMMIT's answer is lost", run: func(e *env) {
		log, want := inserts(20)
		a := e.process(insertMode).claimed()
		for at := int64(0); at < 20; at += 5 {
			a.faults.LoseAnswer("commit")
			a.work(log[:at+5], 5)
		}
		e.wantRows(want...)
		e.wantOffset(20)
		a.wantNoDeadLetters()
		if got := a.sink.Stats(); (got.Written != 20 && !e.ownSQL) || got.Batches != 4 || got.Reclaims != 0 {
			e.Errorf("Stats: %+v", got)
		}
	}},
	{name: "COMMIT never arrives", run: func(e *env) {
		log, want := inserts(20)
		a := e.process(insertMode).claimed()
		for at := int64(0); at < 20; at += 5 {
			a.faults.Drop("commit")
			a.work(log[:at+5], 5)
		}
		e.wantRows(want...)
		e.wantOffset(20)
		a.wantNoDeadLetters()
	}},
	{name: "COMMIT arrives late", run: func(e *env) {
		log, want := inserts(10)
		a := e.process(insertMode).claimed()
		reached, release, ran := a.faults.Late("commit")
		done := e.async(func() error { return a.run(log, 5) })
		e.wait("commit", reached)
		if e.offset() > 0 {
			e.Error("the batch was written although its COMMIT is still under way")
		}
		release()
		e.wait("the late commit", ran)
		if err := e.result("work", done); err != nil {
			e.Fatal(err)
		}
		e.wantRows(want...)
		a.wantNoDeadLetters()
	}},
	{name: "COMMIT's answer is lost and the process goes", run: func(e *env) {
		log, want := inserts(10)
		p := e.process(insertMode)
		a := p.claimed()
		ctx, cancel := context.WithCancel(e.Context())
		p.faults.LoseAnswer("commit")
		p.faults.Call(beginText(e), func() {}) // the transaction itself
		p.faults.Call(beginText(e), cancel)    // asking afterwards
		if err := a.handle(ctx, log, 5); err == nil || !errors.Is(err, context.Canceled) {
			e.Errorf("Handle: %v", err)
		}
		b := e.process(insertMode).claimed()
		if b.claim.Next != 5 {
			e.Errorf("the next owner begins at %d", b.claim.Next)
		}
		b.work(log, 5)
		e.wantRows(want...)
	}},
	{name: "COMMIT's answer is lost, and the same batch comes again", run: func(e *env) {
		log, want := inserts(10)
		p := e.process(insertMode)
		a := p.claimed()
		ctx, cancel := context.WithCancel(e.Context())
		p.faults.LoseAnswer("commit")
		p.faults.Call(beginText(e), func() {})
		p.faults.Call(beginText(e), cancel)
		if err := a.handle(ctx, log, 5); err == nil {
			e.Error("Handle: no error")
		}
		if err := a.handle(e.Context(), log, 5); err != nil {
			e.Errorf("the same batch: %v", err)
		}
		a.work(log, 5)
		e.wantRows(want...)
		a.wantNoDeadLetters()
	}},
	{name: "COMMIT's answer is lost, and a longer batch comes", run: func(e *env) {
		log, want := inserts(10)
		p := e.process(insertMode)
		a := p.claimed()
		ctx, cancel := context.WithCancel(e.Context())
		p.faults.LoseAnswer("commit")
		p.faults.Call(beginText(e), func() {})
		p.faults.Call(beginText(e), cancel)
		if err := a.handle(ctx, log, 5); err == nil {
			e.Error("Handle: no error")
		}
		if err := a.handle(e.Context(), log, 8); !IsReclaim(err) {
			e.Errorf("the longer batch: %v, want a reclaim", err)
		}
		a.again()
		a.work(log, 5)
		e.wantRows(want...)
		a.wantNoDeadLetters()
	}},
	{name: "a connection breaks at each statement", run: func(e *env) {
		log, want := inserts(40)
		a := e.process(insertMode).claimed()
		for n, text := range []string{beginText(e), "update", "insert into", "commit"} {
			a.faults.Drop(text)
			a.work(log[:n*10+5], 5)
			a.faults.LoseAnswer(text)
			a.work(log[:n*10+10], 5)
		}
		e.wantRows(want...)
		e.wantOffset(40)
		a.wantNoDeadLetters()
	}},
	{name: "the context ends in the middle", run: func(e *env) {
		log, want := inserts(10)
		p := e.process(insertMode)
		a := p.claimed()
		cause := errors.New("the partition left")
		for _, text := range []string{beginText(e), "update", "insert into", "commit"} {
			ctx, cancel := context.WithCancelCause(e.Context())
			p.faults.Call(text, func() { cancel(cause) })
			if err := a.handle(ctx, log, 5); !errors.Is(err, cause) || IsReclaim(err) || IsOutage(err) {
				e.Errorf("at %q: %v", text, err)
			}
			if text != "commit" { // at commit either is right, and the next call tells
				e.wantRows()
				e.wantOffset(0)
			}
		}
		a.work(log, 5)
		e.wantRows(want...)
		a.wantNoDeadLetters()
	}},
	{name: "the database goes back", run: func(e *env) {
		log, want := inserts(30)
		a := e.process(insertMode).claimed()
		a.work(log[:10], 10)
		a.work(log[:20], 10)
		// A backup made at 10, restored now: rows and offset went back together.
		e.exec("delete from " + table + " where id >= 10")
		e.exec("update sluice_offsets set next_offset = 10")
		if err := a.handle(e.Context(), log, 30); !IsReclaim(err) {
			e.Errorf("Handle: %v, want a reclaim", err)
		}
		a.again()
		if a.next != 10 {
			e.Errorf("goes on at %d", a.next)
		}
		a.work(log, 10)
		e.wantRows(want...)
		a.wantNoDeadLetters()
	}},
	{name: "the database goes back to before the claim", run: func(e *env) {
		log, want := inserts(20)
		p := e.process(insertMode)
		a := p.claimed()
		a.work(log[:10], 10)
		b := p.claimed()
		b.work(log[:15], 5)
		e.exec("delete from " + table + " where id >= 10")
		e.exec("update sluice_offsets set next_offset = 10, owner_epoch = 1, owner = 'whoever'")
		if err := b.handle(e.Context(), log, 20); !IsReclaim(err) {
			e.Errorf("Handle: %v, want a reclaim", err)
		}
		b.again()
		b.work(log, 5)
		e.wantRows(want...)
	}},
	{name: "the fence is the first statement of each transaction", run: func(e *env) {
		log, _ := inserts(10)
		log[4].Note = nil // a search for poison, too
		a := e.process(insertMode).claimed()
		var mu sync.Mutex
		var after []string
		before := ""
		a.faults.Log(func(text string) {
			mu.Lock()
			defer mu.Unlock()
			if before == beginText(e) {
				after = append(after, text)
			}
			before = text
		})
		a.work(log, 10)
		mu.Lock()
		defer mu.Unlock()
		for _, text := range after {
			if !strings.HasPrefix(text, "update") || !strings.Contains(text, "sluice_offsets") || !strings.Contains(text, "owner") {
				e.Errorf("a transaction begins with %q", text)
			}
		}
		if len(after) != 3 {
			e.Errorf("%d transactions, want 3: the batch, the search, the batch without its poison", len(after))
		}
	}},
	{name: "connections that the database has closed", unless: func(s Setup) bool { return s.LocksForever }, run: func(e *env) {
		log, want := inserts(10)
		a := e.process(insertMode).claimed()
		a.work(log[:5], 5)
		e.closeSessions()
		if err := a.handle(e.Context(), log, 10); err != nil {
			e.Errorf("Handle: %v; nothing was done on the dead connection, so another one will do", err)
		}
		e.wantRows(want...)
	}},
	{name: "a deadlock or a busy database", run: func(e *env) {
		p := e.process(func(c *config) { c.Limits.Lock = 1e9; c.Limits.Idle = 30e9 })
		a := p.claimed()
		a.work([]event{{ID: 1, Note: "a"}, {ID: 2, Note: "a"}}, 2)
		// Somebody else holds row 2 for longer than the lock limit, once.
		tx, err := e.admin.BeginTx(e.Context(), nil)
		if err != nil {
			e.Fatal(err)
		}
		if _, err := tx.ExecContext(e.Context(), "update "+table+" set note = 'held' where id = 2"); err != nil {
			e.Fatal(err)
		}
		done := e.async(func() error { return a.run([]event{{}, {}, {ID: 1, Note: "b"}, {ID: 2, Note: "b"}}, 2) })
		for p.sink.Stats().Retries == 0 {
			select {
			case err := <-done:
				e.Fatalf("done without a retry: %v", err)
			default:
			}
		}
		if err := tx.Rollback(); err != nil {
			e.Fatal(err)
		}
		if err := e.result("work", done); err != nil {
			e.Fatal(err)
		}
		e.wantRows("1=b/0", "2=b/0")
		a.wantNoDeadLetters()
	}},
}

// closeSessions makes the server close every connection but the admin's.
func (e *env) closeSessions() {
	e.Helper()
	if e.setup.Dialect.String() == "PostgreSQL" {
		others := "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
		e.strings("select pg_terminate_backend(pid, 10000) "+others,
			func(scan func(...any) error) (string, error) { var ok bool; return "", scan(&ok) })
		return
	}
	mine := " from information_schema.processlist where db = database() and id <> connection_id()"
	ids := func() []string {
		return e.strings("select id"+mine, func(scan func(...any) error) (id string, err error) { err = scan(&id); return id, err })
	}
	for _, id := range ids() {
		e.exec("kill " + id)
	}
	for len(ids()) > 0 { // they go a moment later
		e.exec("do 0")
	}
}

func beginText(e *env) string {
	return map[string]string{"MySQL": "start transaction", "PostgreSQL": "begin", "SQLite": "begin immediate"}[e.setup.Dialect.String()]
}

func (a *assignment) wantNoDeadLetters() {
	a.Helper()
	for offset, err := range a.dead {
		a.Errorf("offset %d was dead-lettered: %v", offset, err)
	}
	for _, err := range a.seen {
		if _, ok := errors.AsType[*sluice.BatchError](err); ok {
			a.Errorf("a row was blamed: %v", err)
		}
	}
}
