package sqlsinktest

import (
	"database/sql"
	"strings"
	"sync"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

var schemaCases = []testCase{
	{name: "Prepare by several processes at once", run: func(e *env) {
		var wg sync.WaitGroup
		for range 4 {
			p := e.unprepared()
			wg.Go(func() {
				for range 2 {
					if err := p.sink.Prepare(e.Context()); err != nil {
						e.Errorf("Prepare: %v", err)
					}
				}
			})
		}
		wg.Wait()
		e.process().claimed().work([]event{{ID: 1, Note: "a"}}, 1)
	}},
	{name: "default column types", run: func(e *env) {
		p := e.process(func(c *config) {
			for i := range c.Columns {
				c.Columns[i].Type = ""
			}
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				return sqlsink.Put("k", strings.Repeat("ü", 70000), nil), nil
			}
		})
		p.claimed().work([]event{{}, {}}, 1)
		if got := p.sink.Stats(); got.Written != 2 {
			e.Errorf("Stats: %+v", got)
		}
	}},
	{name: "Check changes nothing, and says what is missing", run: func(e *env) {
		p := e.unprepared(func(c *config) { c.Create = false })
		err := p.sink.Check(e.Context())
		wantError(e, err, "sluice_offsets: it does not exist", table+": it does not exist")
		wantError(e, p.sink.Check(e.Context()), "sluice_offsets: it does not exist")
		if _, err := p.sink.Claim(e.Context(), e.request("g", "t", 0)); !sluice.IsRefused(err) {
			e.Errorf("Claim: %v, want a refusal", err)
		}
		wantError(e, p.sink.Prepare(e.Context()), table+": it does not exist")
		e.exec("create table " + table + " (id bigint not null primary key, note varchar(20), n bigint)")
		if err := p.sink.Check(e.Context()); err != nil {
			e.Errorf("Check: %v", err)
		}
		if _, err := p.sink.Claim(e.Context(), e.request("g", "t", 0)); err != nil {
			e.Errorf("Claim: %v", err)
		}
	}},
	{name: "a table that does not fit", run: func(e *env) {
		e.exec("create table " + table + " (id bigint not null, other bigint not null, n bigint)")
		p := e.unprepared()
		wantError(e, p.sink.Prepare(e.Context()), "no column note", "it has id, other, n")
		e.exec("drop table " + table)
		e.exec("create table " + table + " (id bigint not null, other bigint not null, note varchar(20), n bigint, " +
			"primary key (id, other))")
		wantError(e, p.sink.Prepare(e.Context()), "column other is not null", "no unique index over exactly (id)")
		e.exec("create unique index u on " + table + " (id)")
		wantError(e, p.sink.Prepare(e.Context()), "column other is not null")
		e.exec("create table notoffsets (id bigint)")
		q := e.unprepared(func(c *config) { c.OffsetsTable = "notoffsets" })
		wantError(e, q.sink.Prepare(e.Context()), "notoffsets: it has no column group_id")
		e.exec("create table nokey as select * from sluice_offsets")
		q = e.unprepared(func(c *config) { c.OffsetsTable = "nokey" })
		wantError(e, q.sink.Prepare(e.Context()), "nokey: it has no primary key")
	}},
	{name: "keys of two columns, in any order", run: func(e *env) {
		e.exec("create table " + table + " (id bigint not null, note varchar(20) not null, n bigint, primary key (note, id))")
		p := e.process(func(c *config) {
			c.Key = []string{"id", "note"}
			c.Row = func(m sluice.Message[event]) (sqlsink.Row, error) {
				if m.Value.Delete {
					return sqlsink.Delete(m.Value.ID, m.Value.Note), nil
				}
				return sqlsink.Put(m.Value.ID, m.Value.Note, m.Value.N), nil
			}
		})
		var log []event
		for i := range 1500 {
			log = append(log, event{ID: int64(i % 700), Note: []any{"a", "b"}[i%2], N: int64(i)})
		}
		for i := range 699 {
			log = append(log, event{ID: int64(i), Note: []any{"a", "b"}[i%2], Delete: true})
		}
		p.claimed().work(log, 3000)
		e.wantRows("699=b/1399")
	}},
	{name: "a table without transactions", unless: func(s Setup) bool { return s.Dialect.String() != "MySQL" }, run: func(e *env) {
		e.exec("create table " + table + " (id bigint not null primary key, note varchar(20), n bigint) engine=MyISAM")
		p := e.unprepared()
		wantError(e, p.sink.Prepare(e.Context()), "MyISAM has no transactions")
	}},
	{name: "errors keep the secret", unless: func(s Setup) bool { return s.WrongLogin == nil }, run: func(e *env) {
		db := sql.OpenDB(e.setup.WrongLogin(e.T))
		defer func() { _ = db.Close() }()
		p := e.unprepared(func(c *config) { c.DB = db })
		_, claimErr := p.sink.Claim(e.Context(), e.request("g", "t", 0))
		for _, err := range []error{p.sink.Prepare(e.Context()), p.sink.Check(e.Context()), claimErr} {
			if err == nil || sluice.IsRefused(err) || strings.Contains(err.Error(), e.setup.Secret) {
				e.Errorf("%v: want an error that may pass, without the password", err)
			}
		}
	}},
}

func wantError(e *env, err error, parts ...string) {
	e.Helper()
	if err == nil {
		e.Errorf("no error, want %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			e.Errorf("error %q lacks %q", err, p)
		}
	}
}
