package sqlsinktest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

var rowCases = []testCase{
	{name: "insert", run: func(e *env) {
		log, want := inserts(10)
		a := e.process(insertMode).claimed()
		a.work(log, 4)
		e.wantRows(want...)
		e.wantOffset(10)
		if got := a.sink.Stats(); got.Written != 10 || got.Batches != 3 || got.Claims != 1 || got.Retries != 0 {
			e.Errorf("Stats: %+v", got)
		}
	}},
	{name: "upsert, the last of a key wins", run: func(e *env) {
		a := e.process().claimed()
		a.work([]event{
			{ID: 1, Note: "a"}, {ID: 2, Note: "b"}, {ID: 1, Note: "c"}, {ID: 3, Note: "d"},
			{ID: 1, Note: "e"}, {ID: 3, Note: "f", N: 1}, {ID: 2, Note: "b"},
		}, 4)
		e.wantRows("1=e/0", "2=b/0", "3=f/1")
	}},
	{name: "tombstones", run: func(e *env) {
		a := e.process().claimed()
		a.work([]event{
			{ID: 1, Note: "a"}, {ID: 2, Note: "b"}, {ID: 3, Note: "c"}, {ID: 1, Delete: true}, // deleted in the batch that made it
			{ID: 2, Delete: true}, {ID: 9, Delete: true}, {ID: 4, Note: "d"}, {ID: 4, Delete: true}, {ID: 4, Note: "e"}, // made again
			{ID: 3, Note: "f"},
		}, 4)
		e.wantRows("3=f/0", "4=e/0")
	}},
	{name: "a batch with no messages moves the offset", run: func(e *env) {
		a := e.process().claimed()
		a.dead = map[int64]error{0: sluice.Poison(nil), 1: sluice.Poison(nil)}
		a.work([]event{{ID: 1}, {ID: 2}}, 10)
		e.wantRows()
		e.wantOffset(2)
	}},
	{name: "skip", run: func(e *env) {
		a := e.process().claimed()
		a.work([]event{{Skip: true}, {ID: 1, Note: "a"}, {Skip: true}}, 10)
		e.wantRows("1=a/0")
		e.wantOffset(3)
	}},
	{name: "many rows", run: func(e *env) {
		log, want := inserts(5000)
		a := e.process(insertMode).claimed()
		a.work(log, 2500)
		got := e.strings("select id, note, n from "+table+" order by id", func(scan func(...any) error) (string, error) {
			var id, n int64
			var note string
			err := scan(&id, &note, &n)
			return fmt.Sprintf("%d=%s/%d", id, note, n), err
		})
		if strings.Join(got, " ") != strings.Join(want, " ") {
			e.Errorf("got %s", short(got))
		}
	}},
	{name: "more rows in a statement than it has placeholders for", run: func(e *env) {
		log, _ := inserts(30000)
		a := e.process(insertMode, func(c *config) { c.MaxStatementRows = 1 << 20 }).claimed()
		a.work(log, 30000)
		if n := len(e.rows()); n != 30000 {
			e.Errorf("%d rows", n)
		}
	}},
	{name: "against a model", run: func(e *env) {
		random := rand.New(rand.NewPCG(1, 2))
		var log []event
		model := map[int64]string{}
		for i := range 3000 {
			ev := event{ID: random.Int64N(200) - 100, Note: fmt.Sprint(i), N: int64(i), Delete: random.IntN(4) == 0}
			log = append(log, ev)
			if ev.Delete {
				delete(model, ev.ID)
			} else {
				model[ev.ID] = fmt.Sprintf("%d=%d/%d", ev.ID, i, i)
			}
		}
		e.process().claimed().work(log, 700)
		var want []string
		for id := int64(-100); id < 100; id++ {
			if row, ok := model[id]; ok {
				want = append(want, row)
			}
		}
		e.wantRows(want...)
	}},
	{name: "two partitions that share keys", run: func(e *env) {
		p := e.process()
		var up, down []event
		for i := range 300 {
			up = append(up, event{ID: int64(i), Note: "up"})
			down = append(down, event{ID: int64(299 - i), Note: "down"})
		}
		one, two := p.claimedAs(e.request("g", "t", 0)), p.claimedAs(e.request("g", "t", 1))
		for range 20 {
			one.next, two.next = one.claim.Next, two.claim.Next
			done := e.async(func() error { return one.run(up, 300) })
			two.work(down, 300)
			if err := e.result("the other partition", done); err != nil {
				e.Fatal(err)
			}
			e.exec("update sluice_offsets set next_offset = 0")
			one.again()
			two.again()
		}
		if got := p.sink.Stats(); got.Retries > 0 && !e.setup.LocksForever {
			e.Errorf("%d transactions had to be begun again; rows locked in one order do not deadlock", got.Retries)
		}
	}},
	{name: "names that need quotes", run: func(e *env) {
		odd := []string{`quo"te`, "back`tick", "select", "ümlaut x"}
		p := e.process(func(c *config) {
			c.Table, c.Key, c.Columns = "odd \"`name", odd[:2], nil
			for _, name := range odd {
				c.Columns = append(c.Columns, sqlsink.Column{Name: name, Type: "bigint not null"})
			}
			c.OffsetsTable = "odd'offsets"
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				if m.Value.Delete {
					return sqlsink.Delete(m.Value.ID, m.Value.N), nil
				}
				return sqlsink.Put(m.Value.ID, m.Value.N, 1, 2), nil
			}
		})
		a := p.claimed()
		a.work([]event{{ID: 1, N: 1}, {ID: 1, N: 2}, {ID: 2, N: 1}, {ID: 1, N: 1, Delete: true}, {ID: 1, N: 2, Delete: true}}, 2)
		if got := p.sink.Stats(); got.Deleted != 2 || got.Written != 3 {
			e.Errorf("Stats: %+v", got)
		}
	}},
	{name: "keys that only the database thinks are the same", run: func(e *env) {
		p := e.process(func(c *config) {
			c.Columns[0].Type = map[string]string{
				"MySQL":      "varchar(20) character set utf8mb4 collate utf8mb4_general_ci not null",
				"SQLite":     "varchar(20) collate nocase not null",
				"PostgreSQL": "numeric not null",
			}[c.Dialect.String()]
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				if m.Value.Delete {
					return sqlsink.Delete(m.Value.Note), nil
				}
				return sqlsink.Put(m.Value.Note, fmt.Sprint(m.Value.N), m.Value.N), nil
			}
		})
		same := []any{"aa", "AA", "Aa"}
		if e.setup.Dialect.String() == "PostgreSQL" {
			same = []any{"1", "1.0", "1.00"}
		}
		a := p.claimed()
		a.work([]event{
			{Note: same[2], N: 1}, {Note: same[1], N: 2}, {Note: same[0], N: 3},
			{Note: same[0], N: 4}, {Note: same[1], Delete: true}, {Note: same[2], N: 6},
			{Note: same[0], N: 7}, {Note: same[1], N: 8}, {Note: same[0], Delete: true}, {Note: same[2], N: 10},
		}, 10)
		// All of these go into one statement, which PostgreSQL refuses.
		log := append(make([]event, a.next), event{Note: same[1], N: 11}, event{Note: same[2], N: 12}, event{Note: same[0], N: 13})
		a.work(log, 3)
		got := e.strings("select n from "+table, func(scan func(...any) error) (string, error) {
			var n int64
			err := scan(&n)
			return fmt.Sprint(n), err
		})
		if strings.Join(got, " ") != "13" {
			e.Errorf("rows with n = %v, want the last one, 13", got)
		}
		for _, err := range a.seen {
			e.Errorf("Handle: %v", err)
		}
	}},
	{name: "trailing spaces in a key", unless: func(s Setup) bool { return s.Dialect.String() != "MySQL" }, run: func(e *env) {
		p := e.process(func(c *config) {
			c.Columns[0].Type = "" // varchar with binary collation, which ignores them all the same
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				return sqlsink.Put(m.Value.Note, "x", m.Value.N), nil
			}
		})
		p.claimed().work([]event{{Note: "a ", N: 1}, {Note: "a", N: 2}, {Note: "b", N: 3}, {Note: "b ", N: 4}, {Note: "b", N: 5}}, 5)
		got := e.strings("select n from "+table+" order by n", func(scan func(...any) error) (n string, err error) {
			err = scan(&n)
			return n, err
		})
		if strings.Join(got, " ") != "2 5" {
			e.Errorf("rows with n = %v, want the last ones, 2 and 5", got)
		}
	}},
	{name: "only one connection", run: func(e *env) {
		p := e.unprepared(insertMode)
		p.db.SetMaxOpenConns(1)
		one := e.unprepared(insertMode, func(c *config) { c.DB = p.db })
		if err := one.sink.Prepare(e.Context()); err != nil {
			e.Fatal(err)
		}
		log, _ := inserts(200)
		a, b := one.claimedAs(e.request("g", "t", 0)), one.claimedAs(e.request("g", "t", 1))
		b.next = 0
		done := e.async(func() error { return a.run(log[:100], 10) })
		shift := append(make([]event, 0, 100), log[100:]...)
		b.work(shift, 10)
		if err := e.result("the other partition", done); err != nil {
			e.Fatal(err)
		}
		if n := len(e.rows()); n != 200 {
			e.Errorf("%d rows", n)
		}
		for _, err := range append(a.seen, b.seen...) {
			e.Errorf("Handle: %v", err)
		}
	}},
}
