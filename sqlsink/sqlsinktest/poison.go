package sqlsinktest

import (
	"fmt"
	"strings"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

var poisonCases = []testCase{
	{name: "at any place of a batch", own: true, run: func(e *env) {
		const size = 33
		for at := range size {
			p := e.process(insertMode)
			e.exec("delete from " + table)
			e.exec("delete from sluice_offsets")
			log, want := inserts(size)
			bad := []any{nil, strings.Repeat("x", 21)}[at%2]
			log[at].Note = bad
			a := p.claimed()
			a.work(log, size)
			e.wantRows(append(append([]string{}, want[:at]...), want[at+1:]...)...)
			a.wantDead(int64(at))
		}
	}},
	{name: "nothing is written before the dead letters are", own: true, run: func(e *env) {
		log, want := inserts(10)
		log[4].Note, log[7].Note = nil, nil
		a := e.process(insertMode).claimed()
		if err := a.handle(e.Context(), log, 10); err == nil {
			e.Error("Handle: no error")
		}
		e.wantRows()
		e.wantOffset(0)
		a.wantDead(4, 7)
		// The process dies before its dead letters are acknowledged; the next owner finds the same two.
		b := e.process(insertMode).claimed()
		b.work(log, 10)
		e.wantRows(append(append(append([]string{}, want[:4]...), want[5:7]...), want[8:]...)...)
		b.wantDead(4, 7)
	}},
	{name: "several", run: func(e *env) {
		log, want := inserts(1000)
		var dead []int64
		var left []string
		for i := range log {
			if i == 0 || i == 1 || i == 500 || i == 998 || i == 999 {
				log[i].Note = nil
				dead = append(dead, int64(i))
			} else {
				left = append(left, want[i])
			}
		}
		_ = want
		a := e.process(insertMode).claimed()
		before := a.faults.Statements()
		a.work(log, 1000)
		// Two batches, and for each of 5 rows a search of 2 log2(1000) + 1 tries of at most 6 statements.
		if n := a.faults.Statements() - before; n > 5*21*6+20 {
			e.Errorf("%d statements", n)
		}
		if n := len(e.rows()); n != len(left) {
			e.Errorf("%d rows", n)
		}
		a.wantDead(dead...)
	}},
	{name: "all of a batch", own: true, run: func(e *env) {
		a := e.process(insertMode).claimed()
		a.work([]event{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4}}, 2)
		e.wantRows()
		e.wantOffset(4)
		a.wantDead(0, 1, 2, 3)
	}},
	{name: "a duplicate key", own: true, run: func(e *env) {
		a := e.process(insertMode).claimed()
		a.work([]event{
			{ID: 1, Note: "a"}, {ID: 2, Note: "b"}, {ID: 1, Note: "c"}, {ID: 3, Note: "d"}, // in its batch
			{ID: 4, Note: "e"}, {ID: 2, Note: "f"}, {ID: 3, Note: "g"}, {ID: 5, Note: "h"}, // of an earlier batch
		}, 4)
		e.wantRows("1=a/0", "2=b/0", "3=d/0", "4=e/0", "5=h/0")
		a.wantDead(2, 5, 6)
	}},
	{name: "the last of a key", run: func(e *env) {
		a := e.process().claimed()
		a.work([]event{
			{ID: 1, Note: "a"}, {ID: 2, Note: "b"}, {ID: 1}, // the one before counts again
			{ID: 3}, {ID: 3}, {ID: 2, Note: "c"}, {ID: 3, Note: nil}, // none is left
			{ID: 4, Note: "x"}, {ID: 4, Delete: true}, {ID: 4}, // a delete counts again
		}, 10)
		e.wantRows("1=a/0", "2=c/0")
		a.wantDead(2, 3, 4, 6, 9)
	}},
	{name: "a row that a later one replaces is nobody's trouble", run: func(e *env) {
		a := e.process().claimed()
		a.work([]event{{ID: 1}, {ID: 2, Note: "b"}, {ID: 1, Note: "c"}}, 3)
		e.wantRows("1=c/0", "2=b/0")
		a.wantDead()
	}},
	{name: "Row refuses, panics or makes nonsense", run: func(e *env) {
		p := e.process(func(c *config) {
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				switch m.Value.ID {
				case 10:
					return sqlsink.Row{}, nil
				case 11:
					return sqlsink.Put(1), nil
				case 12:
					return sqlsink.Delete(1, 2), nil
				case 13:
					return sqlsink.Put(nil, "x", 1), nil
				case 14:
					var none *int64
					return sqlsink.Delete(none), nil
				}
				return makeRow(m)
			}
		})
		a := p.claimed()
		a.work([]event{
			{ID: 1, Note: "a"}, {Refuse: true}, {Panic: true}, {ID: 10}, {ID: 11}, {ID: 12}, {ID: 13}, {ID: 14}, {ID: 2, Note: "b"},
		}, 10)
		e.wantRows("1=a/0", "2=b/0")
		a.wantDead(1, 2, 3, 4, 5, 6, 7)
		q := e.process(insertMode, func(c *config) { c.OffsetsTable = "offsets2" }).claimed()
		q.work([]event{{ID: 1, Delete: true}}, 1)
		q.wantDead(0)
	}},
	{name: "a value of no type that SQL has", own: true, run: func(e *env) {
		a := e.process().claimed()
		a.work([]event{{ID: 1, Note: "a"}, {ID: 2, Note: make(chan int)}, {ID: 3, Note: "c"}}, 3)
		e.wantRows("1=a/0", "3=c/0")
		a.wantDead(1)
	}},
	{name: "a number that is out of range", own: true, run: func(e *env) {
		p := e.process(func(c *config) { c.Columns[2].Type = "smallint check (n < 30000)" })
		a := p.claimed()
		a.work([]event{{ID: 1, Note: "a"}, {ID: 2, Note: "b", N: 1 << 40}, {ID: 3, Note: "c", N: 3}}, 3)
		e.wantRows("1=a/0", "3=c/3")
		a.wantDead(1)
	}},
	{name: "a parent that is missing", own: true, run: func(e *env) {
		e.exec("create table parent (id bigint not null primary key)")
		e.exec("insert into parent values (1), (3)")
		p := e.process(insertMode, foreignKey(e, ""))
		a := p.claimed()
		a.work([]event{{ID: 1, Note: "a"}, {ID: 2, Note: "b"}, {ID: 3, Note: "c"}}, 3)
		e.wantRows("1=a/0", "3=c/0")
		a.wantDead(1)
	}},
	{name: "a parent that COMMIT misses", own: true, unless: isMySQL, run: func(e *env) {
		e.exec("create table parent (id bigint not null primary key)")
		e.exec("insert into parent values (1), (3)")
		a := e.process(insertMode, foreignKey(e, " deferrable initially deferred")).claimed()
		log := []event{{ID: 1, Note: "a"}, {ID: 2, Note: "b"}, {ID: 3, Note: "c"}}
		if e.setup.Dialect.String() == "SQLite" {
			// No row is to blame before COMMIT, so the engine is told to go record by record.
			if err := a.handle(e.Context(), log, 3); err == nil || !strings.HasPrefix(err.Error(), "poison: ") {
				e.Errorf("Handle: %v, want poison", err)
			}
			a.work(log, 1)
		} else {
			a.work(log, 3)
		}
		e.wantRows("1=a/0", "3=c/0")
		a.wantDead(1)
	}},
	{name: "another unique index", run: func(e *env) {
		e.process(func(c *config) {
			if c.Dialect.String() == "MySQL" {
				c.Columns[0].Type = "bigint not null auto_increment" // null is not refused here: it becomes 0 or the next number
			}
		})
		e.exec("create unique index other on " + table + " (n)")
		a := e.process().claimed()
		a.work([]event{{ID: 1, Note: "a", N: 1}, {ID: 2, Note: "b", N: 2}}, 2)
		a.work([]event{{}, {}, {ID: 3, Note: "c", N: 1}, {ID: 2, Note: "d", N: 2}, {ID: 1, Note: "e", N: 5}}, 3)
		e.wantRows("1=e/5", "2=d/2")
		a.wantDead(2)
	}},
	{name: "another unique index, keys of two columns", run: func(e *env) {
		text := map[string]string{"MySQL": "varchar(20) character set latin1 not null"}[e.setup.Dialect.String()]
		if text == "" {
			text = "varchar(20) not null"
		}
		stamp := map[string]string{"MySQL": "timestamp(6) not null"}[e.setup.Dialect.String()]
		if stamp == "" {
			stamp = "timestamp not null"
		}
		e.exec("create table " + table + " (id bigint not null, at " + stamp + ", note " + text + ", n bigint unique, " +
			"primary key (at, note))")
		a := e.process(func(c *config) {
			c.Key = []string{"note", "at"}
			c.Columns = []sqlsink.Column{{Name: "at"}, {Name: "id"}, {Name: "note"}, {Name: "n"}}
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				return sqlsink.Put("2026-01-02 03:04:05.123456", m.Value.ID, m.Value.Note, m.Value.N), nil
			}
		}).claimed()
		a.work([]event{{Note: "ä", N: 1}, {Note: "b", N: 2}}, 2)
		a.work([]event{{}, {}, {ID: 1, Note: "ä", N: 3}, {ID: 1, Note: "b", N: 3}, {ID: 1, Note: "c", N: 2}, {ID: 2, Note: "d", N: 1}}, 4)
		e.wantRows("0=b/2", "1=ä/3", "2=d/1")
		a.wantDead(3, 4)
	}},
	{name: "a row over the packet limit", unless: func(s Setup) bool { return s.PacketLimit == 0 }, run: func(e *env) {
		p := e.process(insertMode, largeNotes)
		a := p.claimed()
		big := strings.Repeat("x", e.setup.PacketLimit+1024)
		half := big[:e.setup.PacketLimit*6/10]
		a.work([]event{
			{ID: 1, Note: "a"}, {ID: 2, Note: half}, {ID: 3, Note: half}, {ID: 4, Note: half}, // fit one by one, not together
			{ID: 5, Note: big}, {ID: 6, Note: "f"}, {ID: 7, Note: big}, {ID: 8, Note: half},
		}, 8)
		a.wantDead(4, 6)
		for _, err := range a.seen {
			if IsOutage(err) {
				e.Errorf("an outage: %v", err)
			}
		}
		if n := len(e.rows()); n != 6 {
			e.Errorf("%d rows", n)
		}
	}},
	{name: "many large rows", run: func(e *env) {
		a := e.process(insertMode, largeNotes).claimed()
		var log []event
		for i := range 40 {
			log = append(log, event{ID: int64(i), Note: strings.Repeat("'", 1<<20)})
		}
		a.work(log, 40)
		a.wantDead()
		if n := len(e.rows()); n != 40 {
			e.Errorf("%d rows", n)
		}
	}},
}

func isMySQL(s Setup) bool { return s.Dialect.String() == "MySQL" }

func largeNotes(c *config) {
	c.Limits.Statement, c.Limits.Idle, c.Limits.Lock = 60e9, 60e9, 60e9
	c.Columns[1].Type = map[string]string{"MySQL": "longtext"}[c.Dialect.String()]
}

func foreignKey(e *env, deferred string) func(*config) {
	return func(c *config) {
		if e.setup.Dialect.String() == "MySQL" {
			e.exec("create table " + table + " (id bigint not null primary key, note varchar(20), n bigint, " +
				"foreign key (id) references parent (id))")
			return
		}
		c.Columns[0].Type = "bigint not null references parent (id)" + deferred
	}
}

func (a *assignment) wantDead(want ...int64) {
	a.Helper()
	for _, offset := range want {
		if err := a.dead[offset]; err == nil || !strings.HasPrefix(err.Error(), "poison: ") {
			a.Errorf("offset %d: %v, want poison", offset, err)
		}
	}
	if len(a.dead) != len(want) {
		var got []string
		for offset, err := range a.dead {
			got = append(got, fmt.Sprint(offset, ": ", err))
		}
		a.Errorf("dead letters %q, want %v", got, want)
	}
}
