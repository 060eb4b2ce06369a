package sqlsink

import (
	"context"
	"fmt"
	"strings"
)

// use is what the sink does with a table: it inserts.
type use struct {
	table   tableName
	columns []string
	key     []string
	ending  string // of its inserts; an upsert's
	updates bool   // it also reads rows and updates what is not key
}

// rights are those that a use needs, in SQL's words.
func (u use) rights() []string {
	if u.updates {
		return []string{"select", "insert", "update"}
	}
	return []string{"insert"}
}

// checkRights asks whether the user may do what the sink has to do with tables that have no other flaw; what is not there, and Prepare
// creates, he has to create.
func (c *core) checkRights(
	ctx context.Context, conn *conn, offsets, table *catalog, info *tableInfo, flawed map[tableName]bool, bad problemFunc,
) error {
	ask := func(u use, found *catalog, create bool) error {
		var refused string
		var err error
		switch {
		case found == nil && create:
			refused, err = c.dialect.mayCreate(ctx, conn, u.table)
		case found != nil && !flawed[u.table]:
			refused, err = c.dialect.mayUse(ctx, conn, u)
		}
		if err != nil {
			return fmt.Errorf("ask for the rights on %s: %w", u.table, err)
		}
		if refused != "" {
			bad(u.table, "%s", refused)
		}
		return nil
	}
	err := ask(use{
		table: c.offsets, columns: strings.Fields(offsetColumns), key: strings.Fields(offsetKey), updates: true,
	}, offsets, true)
	if err != nil || c.ownSQL() {
		return err
	}
	rows := use{table: c.settings.table, columns: c.text.columns, key: c.text.key}
	if c.mode == Upsert && info != nil {
		rows.ending, rows.updates = c.dialect.upsert(c.text.columns, c.text.key, info.otherUnique), true
	}
	return ask(rows, table, c.create)
}
