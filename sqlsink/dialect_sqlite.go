package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// SQLite is SQLite 3.35 and newer, with a driver whose errors have the method Code() int (modernc.org/sqlite). Journal mode
// and synchronous are the DSN's; with synchronous=OFF a power cut may lose what was committed.
func SQLite() Dialect { return Dialect{sqlite{}} }

type sqlite struct{}

func (sqlite) name() string     { return "SQLite" }
func (sqlite) staleIdle() bool  { return false }
func (sqlite) checkNow() string { return "" } // it has no such switch; see poison

// begin takes the write lock at once: a transaction that reads first may find its snapshot overtaken when it writes.
func (sqlite) begin() string        { return "begin immediate" }
func (sqlite) forUpdate() string    { return "" } // begin immediate has done it
func (sqlite) now() string          { return "strftime('%Y-%m-%d %H:%M:%f', 'now')" }
func (sqlite) param(int) string     { return "?" }
func (sqlite) maxParams() int       { return 32766 }
func (sqlite) tableOptions() string { return "" }

func (sqlite) quote(name string) string { return postgres{}.quote(name) }

func (sqlite) hasIsolation(l sql.IsolationLevel) bool {
	return l == sql.LevelDefault || l == sql.LevelSerializable
}

func (sqlite) setup(ctx context.Context, c *conn, l Limits, _ sql.IsolationLevel) error {
	_, err := c.exec(ctx, "pragma busy_timeout = "+strconv.FormatInt(max(l.Lock.Milliseconds(), 1), 10))
	return err
}

func (d sqlite) upsert(columns, key []string, _ bool) string { return onConflict(d, columns, key) }

func (sqlite) offsetsTable(name string) string {
	return `create table if not exists ` + name + ` (
	group_id text not null,
	topic text not null,
	partition_id integer not null,
	topic_id text not null,
	next_offset integer not null,
	leader_epoch integer not null,
	owner_epoch integer not null,
	owner text not null,
	updated_at text not null,
	primary key (group_id, topic, partition_id)
) without rowid`
}

func (sqlite) columnType(inKey bool) string {
	if inKey {
		return "text not null"
	}
	return "text"
}

func (sqlite) describe(ctx context.Context, c *conn, t tableName) (*catalog, error) {
	schema := t.schema
	if schema == "" {
		schema = "main"
	}
	found := new(catalog)
	err := c.query(ctx, `select name, upper(type), "notnull", dflt_value is not null, pk = 1 and upper(type) = 'INTEGER'
	and (select count(*) from pragma_table_info(?1, ?2) where pk > 0) = 1
	from pragma_table_info(?1, ?2) order by cid`, []any{t.name, schema},
		func(scan func(...any) error) error {
			var col, typ string
			var notNull, hasDefault, rowid bool
			if err := scan(&col, &typ, &notNull, &hasDefault, &rowid); err != nil {
				return err
			}
			cc := catalogColumn{name: col, required: notNull && !hasDefault && !rowid}
			switch { // the affinities, see sqlite.org/datatype3.html
			case strings.Contains(typ, "INT"):
				cc.kind = keyInteger
			case strings.Contains(typ, "CHAR"), strings.Contains(typ, "CLOB"), strings.Contains(typ, "TEXT"):
				cc.kind = keyText
			}
			found.columns = append(found.columns, cc)
			if rowid {
				found.unique = append(found.unique, []string{col}) // it has no index
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", t, err)
	}
	if len(found.columns) == 0 {
		return nil, errNoTable
	}
	var indexes []string
	err = c.query(ctx, `select name from pragma_index_list(?, ?) where "unique" = 1 and partial = 0 order by seq`, []any{t.name, schema},
		func(scan func(...any) error) error {
			var index string
			if err := scan(&index); err != nil {
				return err
			}
			indexes = append(indexes, index)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read the unique indexes of %s: %w", t, err)
	}
	for _, index := range indexes {
		var cols []string
		err = c.query(ctx, `select coalesce(name, ''), upper(coll) from pragma_index_xinfo(?, ?)
	where key = 1 order by seqno`, []any{index, schema},
			func(scan func(...any) error) error {
				var col, collation string
				if err := scan(&col, &collation); err != nil {
					return err
				}
				if cc := found.column(col); cc != nil && collation != "BINARY" {
					cc.kind = keyInexact
				}
				cols = append(cols, col)
				return nil
			})
		if err != nil {
			return nil, fmt.Errorf("read the unique indexes of %s: %w", t, err)
		}
		found.unique = append(found.unique, cols)
	}
	return found, nil
}

// SQLite has no users, and a column's type bounds nothing.
func (sqlite) mayCreate(context.Context, *conn, tableName) (string, error) { return "", nil }
func (sqlite) mayUse(context.Context, *conn, use) (string, error)          { return "", nil }
func (sqlite) widen(_, _, _ string, _ *catalogColumn) string               { return "" }

// resultCode finds SQLite's result code in an error, without its details.
func resultCode(err error) (int, bool) {
	coded, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	if !ok {
		return 0, false
	}
	return coded.Code() & 0xff, true
}

func (sqlite) told(err error) bool {
	_, ok := resultCode(err)
	return ok
}

func (sqlite) noSavepoint(err error) bool {
	code, _ := resultCode(err)
	return code == 1 // "no such savepoint", among others
}

func (sqlite) commits(first, _ string) bool { return first == "end" }

func (sqlite) classify(err error) class {
	code, ok := resultCode(err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return classOutage
		}
		return classifyClient(err)
	}
	switch code {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return classRetry
	case 19, 20: // SQLITE_CONSTRAINT, SQLITE_MISMATCH
		return classRow
	case 18: // SQLITE_TOOBIG
		return classTooLarge
	}
	return classOutage
}
