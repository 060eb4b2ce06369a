package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MySQL is MySQL 5.7 and newer and MariaDB 10.3 and newer, with InnoDB tables. number finds the server's error number and
// SQLSTATE (or "") in an error, and says whether there is one; with github.com/go-sql-driver/mysql:
//
//	func(err error) (uint16, string, bool) {
//		var e *mysql.MySQLError
//		if !errors.As(err, &e) {
//			return 0, "", false
//		}
//		return e.Number, string(e.SQLState[:]), true
//	}
//
// That driver's DSN must have maxAllowedPacket=0, or a row over the server's limit cuts the connection, which looks like an
// outage; and it should have interpolateParams=true, which saves a round trip for each statement. clientFoundRows may be
// set or not.
//
// The sink's sessions are strict (STRICT_ALL_TABLES): a value that does not fit is an error, never cut. An upsert is
// "on duplicate key update", which knows no key: Prepare looks whether the table has more unique indexes, and then adds a
// guard that refuses a row that would hit another key's row.
func MySQL(number func(error) (number uint16, sqlstate string, ok bool)) Dialect {
	if number == nil {
		return Dialect{}
	}
	return Dialect{mysql{number}}
}

type mysql struct {
	number func(error) (uint16, string, bool)
}

func (mysql) name() string      { return "MySQL" }
func (mysql) staleIdle() bool   { return true }
func (mysql) begin() string     { return "start transaction" }
func (mysql) checkNow() string  { return "" } // it always does
func (mysql) forUpdate() string { return " for update" }
func (mysql) now() string       { return "current_timestamp(3)" }
func (mysql) param(int) string  { return "?" }
func (mysql) maxParams() int    { return 65535 }

func (mysql) quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (mysql) hasIsolation(l sql.IsolationLevel) bool { return postgres{}.hasIsolation(l) }

func (mysql) setup(ctx context.Context, c *conn, l Limits, level sql.IsolationLevel) error {
	if level == sql.LevelDefault {
		level = sql.LevelReadCommitted
	}
	var version string
	if err := c.queryRow(ctx, "select @@max_allowed_packet, version()", nil, &c.packet, &version); err != nil {
		return err
	}
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) }
	set := []string{
		"innodb_lock_wait_timeout = " + seconds(l.Lock),
		"lock_wait_timeout = " + seconds(l.Lock), // locks on a table's definition: a day by default
		"wait_timeout = " + seconds(l.Idle),
		"net_read_timeout = " + seconds(l.Idle),                                     // frozen in the middle of sending a statement
		"sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')", // the key 0 is 0, not a new number
		"time_zone = '+00:00'",                                                      // the zone of what is written
	}
	if strings.Contains(version, "MariaDB") {
		set = append(set, "max_statement_time = "+strconv.FormatFloat(l.Statement.Seconds(), 'f', 3, 64))
	} // MySQL has a limit for select statements only; there the client's own counts.
	if _, err := c.exec(ctx, "set session "+strings.Join(set, ", session ")); err != nil {
		return err
	}
	_, err := c.exec(ctx, "set session transaction isolation level "+strings.ToLower(level.String()))
	return err
}

func (d mysql) upsert(columns, key []string, otherUnique bool) string {
	var b strings.Builder
	sep := " on duplicate key update "
	if otherUnique {
		// Evaluated only for a row that is there already. If that one has another key, it was hit through another unique
		// index, and the sum overflows: error 1690. (Setting the key to null would not do: an auto_increment becomes 0 and a
		// timestamp the current time.)
		q := d.quote(key[0])
		fmt.Fprintf(&b, "%s%s = if(9223372036854775807 + (not (", sep, q)
		for i, k := range key {
			if i > 0 {
				b.WriteString(" and ")
			}
			b.WriteString(d.quote(k) + " <=> values(" + d.quote(k) + ")")
		}
		fmt.Fprintf(&b, ")) > 0, %s, %s)", q, q)
		sep = ", "
	}
	for _, c := range columns {
		if !slices.Contains(key, c) {
			b.WriteString(sep + d.quote(c) + " = values(" + d.quote(c) + ")")
			sep = ", "
		}
	}
	if sep != ", " {
		b.WriteString(sep + d.quote(key[0]) + " = " + d.quote(key[0]))
	}
	return b.String()
}

func (mysql) offsetsTable(name string) string {
	return "create table if not exists " + name + ` (
	group_id varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
	topic varchar(249) character set ascii collate ascii_bin not null,
	partition_id int not null,
	topic_id varchar(22) character set ascii collate ascii_bin not null,
	next_offset bigint not null,
	leader_epoch int not null,
	owner_epoch bigint not null,
	owner varchar(32) character set ascii collate ascii_bin not null,
	updated_at datetime(3) not null,
	primary key (group_id, topic, partition_id)
) engine=InnoDB row_format=dynamic`
}

func (mysql) columnType(inKey bool) string {
	if inKey {
		return "varchar(255) character set utf8mb4 collate utf8mb4_bin not null"
	}
	return "longtext character set utf8mb4"
}

func (mysql) tableOptions() string { return " engine=InnoDB" }

func (mysql) describe(ctx context.Context, c *conn, t tableName) (*catalog, error) {
	var engine, transactions sql.NullString
	err := c.queryRow(ctx, `select t.engine, e.transactions from information_schema.tables t
	left join information_schema.engines e on e.engine = t.engine
	where t.table_schema = coalesce(nullif(?, ''), database()) and t.table_name = ?`, []any{t.schema, t.name}, &engine, &transactions)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoTable
	}
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	found := new(catalog)
	if transactions.Valid && !strings.EqualFold(transactions.String, "yes") {
		found.problem = fmt.Sprintf("its engine %s has no transactions; alter table %s engine=InnoDB", engine.String, t)
	}
	err = c.query(ctx, `select column_name, lower(data_type), lower(column_type), is_nullable,
	column_default is not null and not (is_nullable = 'YES' and column_default = 'NULL') or extra <> '', coalesce(collation_name, '')
	from information_schema.columns where table_schema = coalesce(nullif(?, ''), database()) and table_name = ?
	order by ordinal_position`, []any{t.schema, t.name}, func(scan func(...any) error) error {
		var col, typ, whole, nullable, collation string
		var hasDefault bool
		if err := scan(&col, &typ, &whole, &nullable, &hasDefault, &collation); err != nil {
			return err
		}
		cc := catalogColumn{name: col, typ: whole, required: nullable == "NO" && !hasDefault}
		switch {
		case strings.HasSuffix(typ, "int"):
			cc.kind = keyInteger
		case (typ == "varchar" || typ == "char") && strings.HasSuffix(collation, "_bin"):
			cc.kind = keyText
		}
		if collation != "" {
			cc.rest = " collate " + collation
		}
		if nullable == "NO" {
			cc.rest += " not null"
		}
		if hasDefault {
			cc.rest = "?"
		}
		if slices.Contains([]string{"datetime", "timestamp", "time"}, whole) {
			cc.typ += "(0)" // of a second; PostgreSQL means six digits by saying none
		}
		cc.compare = mysqlCompare(typ)
		found.columns = append(found.columns, cc)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", t, err)
	}
	var last string
	prefixed := map[int]bool{} // an index over the beginning of a column only
	err = c.query(ctx, `select index_name, coalesce(column_name, ''), sub_part is not null from information_schema.statistics
	where table_schema = coalesce(nullif(?, ''), database()) and table_name = ? and non_unique = 0
	order by index_name, seq_in_index`, []any{t.schema, t.name}, func(scan func(...any) error) error {
		var index, col string
		var prefix bool
		if err := scan(&index, &col, &prefix); err != nil {
			return err
		}
		if index != last {
			found.unique, last = append(found.unique, nil), index
		}
		n := len(found.unique) - 1
		found.unique[n] = append(found.unique[n], col)
		prefixed[n] = prefixed[n] || prefix
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the unique indexes of %s: %w", t, err)
	}
	for n := range prefixed {
		if prefixed[n] {
			found.unique[n] = append(found.unique[n], "") // it is there, but is not over exactly these columns
		}
	}
	return found, nil
}

var (
	mysqlRetry = []uint16{
		1020, // record has changed since last read (MariaDB with innodb_snapshot_isolation)
		1205, // lock wait timeout
		1213, // deadlock
	}
	mysqlRow = []uint16{
		1048,       // column cannot be null
		1062, 1586, // duplicate entry
		1118,                   // row size too large
		1216, 1217, 1451, 1452, // foreign key
		1369,       // CHECK OPTION of a view
		1526,       // no partition for the value
		1644,       // SIGNAL in a trigger
		1264, 1690, // out of range
		1265,       // data truncated
		1292, 1411, // incorrect value
		1366, 1367, // incorrect value, incorrect string
		1406,       // data too long
		1761, 1762, // foreign key over a duplicate
		3140, 3141, 3143, 3156, // JSON
		3819, 4025, // CHECK
	}
)

// mysqlDenied are the errors of a user without the right.
var mysqlDenied = []uint16{1044, 1142, 1143, 1227}

// mysqlReadOnly are the errors of what cannot be written here by anybody: a table, a server (--read-only), a transaction, a view.
var mysqlReadOnly = []uint16{1036, 1290, 1792, 1836, 1471}

// mayCreate asks for a table that cannot be: with two columns of one name. The server looks for the right first.
func (d mysql) mayCreate(ctx context.Context, c *conn, t tableName) (string, error) {
	_, err := c.exec(ctx, "create table "+quoteTable(d, t)+" (a int primary key, a int)")
	const twice = 1060
	if number, _, _ := d.number(err); number == twice {
		return "", nil
	}
	return d.refused(ctx, c, t, "create", err)
}

// mayUse does to no row what the use needs, as only the server knows about roles, patterns and columns.
func (d mysql) mayUse(ctx context.Context, c *conn, u use) (string, error) {
	name, list := quoteTable(d, u.table), (&statements{d: d}).list(u.columns)
	nothing := strings.TrimSuffix(strings.Repeat("null, ", len(u.columns)), ", ")
	tries := []string{"insert into " + name + " (" + list + ") select " + nothing + " from dual where 1 = 0" + u.ending}
	if u.updates {
		tries = append(tries, "select "+list+" from "+name+" where 1 = 0")
		for _, column := range u.columns {
			if !slices.Contains(u.key, column) {
				tries = append(tries, "update "+name+" set "+d.quote(column)+" = "+d.quote(column)+" where 1 = 0")
			}
		}
	}
	for _, text := range tries {
		if _, err := c.exec(ctx, text); err != nil {
			return d.refused(ctx, c, u.table, strings.Join(u.rights(), ", "), err)
		}
	}
	return "", nil
}

// refused says how to mend what the server has refused.
func (d mysql) refused(ctx context.Context, c *conn, t tableName, rights string, refusal error) (string, error) {
	number, _, _ := d.number(refusal)
	switch {
	case slices.Contains(mysqlReadOnly, number):
		return fmt.Sprintf("it cannot be written here: %v; name the server or the table that can", refusal), nil
	case !slices.Contains(mysqlDenied, number):
		return "", refusal
	}
	var user string
	if err := c.queryRow(ctx, "select current_user()", nil, &user); err != nil {
		return "", err
	}
	at := strings.LastIndexByte(user, '@')
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	grant := "grant " + rights + " on " + quoteTable(d, t) + " to " + quoted(user[:max(at, 0)]) + "@" + quoted(user[at+1:])
	return fmt.Sprintf("the user has not all rights on it: %v; %s", refusal, grant), nil
}

// widen says again what modify would drop.
func (mysql) widen(table, column, typ string, found *catalogColumn) string {
	if found.rest == "?" {
		return "give it that type with alter table " + table + " modify " + column + ", and its default and all else again"
	}
	return "alter table " + table + " modify " + column + " " + typ + found.rest
}

func (d mysql) classify(err error) class {
	number, state, ok := d.number(err)
	switch {
	case !ok && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		return classOutage
	case !ok:
		return classifyClient(err)
	case slices.Contains(mysqlRetry, number):
		return classRetry
	case slices.Contains(mysqlRow, number):
		return classRow
	case number == 1153, number == 1105 && strings.Contains(err.Error(), "max_allowed_packet"):
		return classTooLarge
	case strings.HasPrefix(state, "22"), strings.HasPrefix(state, "23"):
		return classRow
	}
	return classOutage
}

func (d mysql) told(err error) bool {
	_, _, ok := d.number(err)
	return ok
}

func (d mysql) noSavepoint(err error) bool {
	number, _, _ := d.number(err)
	return number == 1305
}

// commits knows the statements that commit before they begin.
func (mysql) commits(first, second string) bool {
	switch first {
	case "create", "drop":
		return second != "temporary"
	case "alter", "grant", "lock", "rename", "revoke", "truncate", "unlock", "xa":
		return true
	}
	return false
}

// mysqlCompare minds that MySQL compares a number with a text as floating point numbers: in a where, 'abc' is the key 0, and
// 0 is every key that is no number.
func mysqlCompare(typ string) func(any) (any, error) {
	switch {
	case strings.HasSuffix(typ, "int"), typ == "decimal", typ == "float", typ == "double", typ == "year", typ == "bit":
		return func(v any) (any, error) {
			text, ok := asText(v)
			if !ok {
				return v, nil
			}
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n, nil
			}
			if n, err := strconv.ParseUint(text, 10, 64); err == nil {
				return n, nil
			}
			if _, err := strconv.ParseFloat(text, 64); err != nil || strings.HasSuffix(typ, "int") {
				return nil, errors.New("the column is a number, the value is none")
			}
			return text, nil
		}
	case strings.HasSuffix(typ, "char"), strings.HasSuffix(typ, "text"), typ == "enum", typ == "set":
		return func(v any) (any, error) {
			switch rv := reflect.ValueOf(plainValue(v)); {
			case rv.CanInt():
				return strconv.FormatInt(rv.Int(), 10), nil
			case rv.CanUint():
				return strconv.FormatUint(rv.Uint(), 10), nil
			case rv.CanFloat():
				return strconv.FormatFloat(rv.Float(), 'g', -1, 64), nil
			}
			return v, nil
		}
	}
	return nil
}

func asText(v any) (string, bool) {
	switch v := plainValue(v).(type) {
	case string:
		return strings.TrimSpace(v), true
	case []byte:
		return strings.TrimSpace(string(v)), true
	}
	return "", false
}
