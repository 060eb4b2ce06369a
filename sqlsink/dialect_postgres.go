package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Postgres is PostgreSQL 12 and newer, with a driver whose errors have the method SQLState() string (pgx, lib/pq).
func Postgres() Dialect { return Dialect{postgres{}} }

type postgres struct{}

func (postgres) name() string       { return "PostgreSQL" }
func (postgres) staleIdle() bool    { return false }
func (postgres) begin() string      { return "begin" }
func (postgres) checkNow() string   { return "set constraints all immediate" }
func (postgres) forUpdate() string  { return " for update" }
func (postgres) now() string        { return "now()" }
func (postgres) param(n int) string { return dollar(n) }
func (postgres) maxParams() int     { return 65535 }

func (postgres) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (postgres) hasIsolation(l sql.IsolationLevel) bool {
	return slices.Contains([]sql.IsolationLevel{
		sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
	}, l)
}

func (postgres) setup(ctx context.Context, c *conn, l Limits, level sql.IsolationLevel) error {
	if level == sql.LevelDefault {
		level = sql.LevelReadCommitted
	}
	ms := func(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
	var got [4]string
	return c.queryRow(ctx, `select set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false), `+
		`set_config('idle_in_transaction_session_timeout', $3, false), set_config('default_transaction_isolation', $4, false)`,
		[]any{ms(l.Lock), ms(l.Statement), ms(l.Idle), strings.ToLower(level.String())}, &got[0], &got[1], &got[2], &got[3])
}

func (d postgres) upsert(columns, key []string, _ bool) string {
	return onConflict(d, columns, key)
}

// onConflict is the upsert of PostgreSQL and SQLite. Only the index over key counts: a conflict with another one is an
// error.
func onConflict(d dialect, columns, key []string) string {
	var b strings.Builder
	b.WriteString(" on conflict (")
	for i, k := range key {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(d.quote(k))
	}
	b.WriteString(")")
	sep := " do update set "
	for _, c := range columns {
		if !slices.Contains(key, c) {
			b.WriteString(sep + d.quote(c) + " = excluded." + d.quote(c))
			sep = ", "
		}
	}
	if sep != ", " {
		b.WriteString(" do nothing")
	}
	return b.String()
}

func (postgres) offsetsTable(name string) string {
	return `create table if not exists ` + name + ` (
	group_id text not null,
	topic text not null,
	partition_id integer not null,
	topic_id text not null,
	next_offset bigint not null,
	leader_epoch integer not null,
	owner_epoch bigint not null,
	owner text not null,
	updated_at timestamp with time zone not null,
	primary key (group_id, topic, partition_id)
)`
}

func (postgres) columnType(bool) string { return "text" }
func (postgres) tableOptions() string   { return "" }

func (d postgres) describe(ctx context.Context, c *conn, t tableName) (*catalog, error) {
	name := d.quote(t.name)
	if t.schema != "" {
		name = d.quote(t.schema) + "." + name
	}
	var relation, persistence string
	err := c.queryRow(ctx, `select oid::text, relpersistence::text from pg_class where oid = to_regclass($1)`, []any{name},
		&relation, &persistence)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoTable
	}
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	found, of := new(catalog), []any{relation}
	if persistence == "u" {
		found.problem = fmt.Sprintf("it is unlogged: a crash empties it, and its offsets stay; alter table %s set logged", t)
	}
	err = c.query(ctx, `select a.attname, t.typname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
	a.atthasdef or a.attidentity <> '' or a.attgenerated <> '',
	coalesce(o.collisdeterministic, true)
	from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_collation o on o.oid = a.attcollation
	where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped order by a.attnum`, of, func(scan func(...any) error) error {
		var col, typ, whole string
		var notNull, hasDefault, deterministic bool
		if err := scan(&col, &typ, &whole, &notNull, &hasDefault, &deterministic); err != nil {
			return err
		}
		if whole == "text" {
			whole = "" // of any length
		}
		cc := catalogColumn{name: col, typ: whole, required: notNull && !hasDefault}
		switch {
		case slices.Contains([]string{"int2", "int4", "int8"}, typ):
			cc.kind = keyInteger
		case (typ == "text" || typ == "varchar") && deterministic:
			cc.kind = keyText
		}
		found.columns = append(found.columns, cc)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", t, err)
	}
	var last string
	err = c.query(ctx, `select i.indexrelid::text, a.attname
	from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, n)
	join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
	where i.indrelid = $1::oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
	and k.n <= i.indnkeyatts order by 1, k.n`, of, func(scan func(...any) error) error {
		var index, col string
		if err := scan(&index, &col); err != nil {
			return err
		}
		if index != last {
			found.unique, last = append(found.unique, nil), index
		}
		found.unique[len(found.unique)-1] = append(found.unique[len(found.unique)-1], col)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the unique indexes of %s: %w", t, err)
	}
	return found, nil
}

func (postgres) mayCreate(ctx context.Context, c *conn, t tableName) (string, error) {
	var user, schema string
	var exists, may bool
	err := c.queryRow(ctx, `select quote_ident(current_user), coalesce(quote_ident(s), ''), to_regnamespace(quote_ident(s)) is not null,
	coalesce(has_schema_privilege(to_regnamespace(quote_ident(s))::oid, 'create'), false)
	from (select coalesce(nullif($1, ''), current_schema()) as s) x`, []any{t.schema}, &user, &schema, &exists, &may)
	switch {
	case err != nil || may:
		return "", err
	case schema == "":
		return "there is no schema to create it in: the search_path names none; set it, or write schema.table", nil
	case !exists:
		return "its schema is not there; create schema " + schema, nil
	}
	return fmt.Sprintf("the user may not create it; grant create on schema %s to %s", schema, user), nil
}

func (d postgres) mayUse(ctx context.Context, c *conn, u use) (string, error) {
	args := []any{quoteTable(d, u.table)}
	in := func(names []string) string {
		var list []string
		for _, name := range names {
			args = append(args, name)
			list = append(list, dollar(len(args))+"::text")
		}
		return strings.Join(list, ", ")
	}
	var user, missing, readOnly string
	err := c.queryRow(ctx, `select quote_ident(current_user), coalesce((select string_agg(p, ', ') from unnest(array[`+in(u.rights())+`]) p
	where exists (select from pg_attribute a where a.attrelid = to_regclass($1)::oid and a.attname::text in (`+in(u.columns)+`)
	and not (p = 'update' and a.attname::text = any (array[`+in(u.key)+`]::text[]))
	and not has_column_privilege(a.attrelid, a.attnum, p))), ''),
	current_setting('transaction_read_only')`, args, &user, &missing, &readOnly)
	switch {
	case err != nil:
		return "", err
	case readOnly == "on":
		return "transactions are read-only here; name the primary, or alter role " + user + " set default_transaction_read_only = off", nil
	case missing != "":
		return fmt.Sprintf("the user has not all rights on it; grant %s on %s to %s", missing, quoteTable(d, u.table), user), nil
	}
	return "", nil
}

func (postgres) widen(table, column, typ string, _ *catalogColumn) string {
	return "alter table " + table + " alter column " + column + " type " + typ
}

func (postgres) classify(err error) class {
	if state, ok := sqlState(err); ok {
		return classifyState(state)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return classOutage
	}
	return classifyClient(err)
}

func (postgres) told(err error) bool {
	_, ok := sqlState(err)
	return ok
}

func (postgres) noSavepoint(err error) bool {
	state, _ := sqlState(err)
	return state == "3B001" || state == "25P01"
}

func (postgres) commits(first, second string) bool {
	return first == "end" || first == "abort" || (first == "prepare" && second == "transaction")
}
