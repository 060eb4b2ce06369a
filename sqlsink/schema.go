package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tableInfo is what the catalog says about the table of rows.
type tableInfo struct {
	key         []keyKind
	compare     []func(any) (any, error) // of the key columns
	otherUnique bool                     // there are more unique indexes than the one over Config.Key
}

// prepare creates what is missing and checks all of it.
func (c *core) prepare(ctx context.Context) error {
	create, err := c.missing(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	for _, text := range create {
		// "if not exists" does not help on PostgreSQL when another process creates the same table at the same time.
		var err error
		for try := range claimTries {
			if try > 0 && !pause(ctx, try) {
				return endOf(ctx, err)
			}
			if err = c.create1(ctx, text); err == nil {
				break
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return endOf(ctx, err)
			}
			return fmt.Errorf("sqlsink: %w; the statement was: %s", err, text)
		}
	}
	return c.check(ctx)
}

// missing returns the statements that create what is not there. Where all is, the user needs no right to create anything.
func (c *core) missing(ctx context.Context) (create []string, err error) {
	conn, err := c.conns.begin(ctx)
	if err != nil {
		return nil, err
	}
	offsets, table, err := c.find(ctx, conn)
	c.conns.abort(ctx, conn, err)
	if err != nil {
		return nil, err
	}
	if offsets == nil {
		create = append(create, c.dialect.offsetsTable(c.text.offsets))
	}
	if table == nil && c.create {
		create = append(create, c.text.createTable(c.columns))
	}
	return create, nil
}

// find describes the table of offsets and that of rows; nil where there is none. Which tables the user's own SQL needs is not ours
// to know.
func (c *core) find(ctx context.Context, conn *conn) (offsets, table *catalog, err error) {
	offsets, err = c.dialect.describe(ctx, conn, c.offsets)
	if !c.ownSQL() && (err == nil || errors.Is(err, errNoTable)) {
		table, err = c.dialect.describe(ctx, conn, c.settings.table)
	}
	if errors.Is(err, errNoTable) {
		err = nil
	}
	return offsets, table, err
}

func (c *core) create1(ctx context.Context, text string) error {
	conn, _, err := c.conns.take(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.exec(ctx, text); err != nil {
		c.conns.discard(conn)
		return err
	}
	c.conns.put(conn)
	return nil
}

func (c *core) check(ctx context.Context) error {
	problems, err := c.inspect(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	return problems
}

// failure is what a look at the database returns when it could not look.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return endOf(ctx, err)
	}
	return fmt.Errorf("sqlsink: %w", err)
}

// problemFunc notes what is wrong with a table.
type problemFunc func(t tableName, format string, args ...any)

// inspect reads the catalog. problems is everything that a person has to mend; err is that we could not look.
func (c *core) inspect(ctx context.Context) (problems, err error) {
	// A transaction proves that the connection is alive, and gives one view of the catalog.
	conn, err := c.conns.begin(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	flawed := map[tableName]bool{}
	bad := func(t tableName, format string, args ...any) {
		flawed[t] = true
		errs = append(errs, fmt.Errorf("sqlsink: table "+t.String()+": "+format, args...))
	}
	info := new(tableInfo)
	offsets, table, err := c.find(ctx, conn)
	if err == nil {
		c.checkOffsets(offsets, bad)
		if !c.ownSQL() {
			info = c.checkTable(table, bad)
		}
		err = c.checkRights(ctx, conn, offsets, table, info, flawed, bad)
	}
	c.conns.abort(ctx, conn, err)
	if len(errs) > 0 { // these are certain, whatever kept us from looking on
		return errors.Join(errs...), nil
	}
	if err != nil {
		return nil, err
	}
	c.table.Store(info)
	return nil, nil
}

const (
	offsetColumns = "group_id topic partition_id topic_id next_offset leader_epoch owner_epoch owner updated_at"
	offsetKey     = "group_id topic partition_id"
)

func (c *core) checkOffsets(found *catalog, bad problemFunc) {
	if found == nil {
		bad(c.offsets, "it does not exist; let Prepare create it, or create it with: %s", c.dialect.offsetsTable(c.text.offsets))
		return
	}
	if found.problem != "" {
		bad(c.offsets, "%s", found.problem)
	}
	for name := range strings.FieldsSeq(offsetColumns) {
		if found.column(name) == nil {
			bad(c.offsets, "it has no column %s, so it is not a table of offsets; set OffsetsTable to another name", name)
			return
		}
	}
	c.checkWidths(c.offsets, found, offsetTypes(c.dialect.offsetsTable(c.text.offsets)), bad)
	if !found.hasUnique(strings.Fields(offsetKey)) {
		bad(c.offsets, "it has no primary key (group_id, topic, partition_id); without it two processes could own one partition")
	}
}

func (c *core) checkTable(found *catalog, bad problemFunc) *tableInfo {
	t := c.settings.table
	if found == nil {
		bad(t, "it does not exist; create it, or set Create and call Prepare")
		return nil
	}
	if found.problem != "" {
		bad(t, "%s", found.problem)
	}
	var missing []string
	for _, col := range c.columns {
		if found.column(col.Name) == nil {
			missing = append(missing, col.Name)
		}
	}
	if len(missing) > 0 {
		var has []string
		for _, col := range found.columns {
			has = append(has, col.name)
		}
		bad(t, "it has no column %s; it has %s", strings.Join(missing, ", "), strings.Join(has, ", "))
		return nil
	}
	for _, col := range found.columns {
		if col.required && !slices.Contains(c.text.columns, col.name) {
			bad(t, "column %s is not null and has no default, so no row can be added without it; name it in Columns", col.name)
		}
	}
	c.checkWidths(t, found, c.columns, bad)
	info := new(tableInfo)
	for _, k := range c.text.key {
		info.key = append(info.key, found.column(k).kind)
		info.compare = append(info.compare, found.column(k).compare)
	}
	if c.mode != Upsert {
		return info
	}
	if !found.hasUnique(c.text.key) {
		bad(t, "it has no primary key and no unique index over exactly (%s), which Upsert needs; create one, "+
			"or name the columns of an existing one in Key", strings.Join(c.text.key, ", "))
	}
	for _, u := range found.unique {
		info.otherUnique = info.otherUnique || !sameNames(u, c.text.key)
	}
	return info
}

func (c *catalog) hasUnique(columns []string) bool {
	return slices.ContainsFunc(c.unique, func(u []string) bool { return sameNames(u, columns) })
}

// sameNames tells whether a and b, which have no name twice, have the same names.
func sameNames(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(n string) bool { return !slices.Contains(b, n) })
}
