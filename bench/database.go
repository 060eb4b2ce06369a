package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/sluice-go/sluice/test/servers"
)

// database is what one kind of database calls things.
type database struct {
	name    string
	columns string                 // of the table of orders, but for its name
	cents   string                 // the sum of all amounts, in cents
	time    func(of string) string // a time as in [order]
	param   func(n int) string
	keep    string // after an insert of an offset: it replaces the older one
	open    func(dsn string) (*sql.DB, error)
	// start returns where it is: for open, and for `sluice run`. An SQLite file lies in the folder.
	start func(ctx context.Context, folder string) (dsn, url string, drop func(), err error)
}

const (
	mariaDB    = "mariadb"
	postgreSQL = "postgres"
	sqlite     = "sqlite"
)

func databases() []database {
	question := func(int) string { return "?" }
	return []database{
		{
			name: mariaDB, param: question,
			columns: "id bigint primary key, customer varchar(64), amount decimal(12,2), ts datetime(3)",
			cents:   "cast(coalesce(sum(amount), 0) * 100 as signed)",
			time:    func(of string) string { return "cast(" + of + " as char)" },
			keep:    " on duplicate key update next_offset = values(next_offset)",
			open:    openMariaDB,
			start: func(ctx context.Context, _ string) (string, string, func(), error) {
				return onServer(ctx, servers.StartMariaDB)
			},
		},
		{
			name: postgreSQL, param: func(n int) string { return "$" + strconv.Itoa(n) },
			columns: "id bigint primary key, customer varchar(64), amount decimal(12,2), ts timestamp(3)",
			cents:   "cast(coalesce(sum(amount), 0) * 100 as bigint)",
			time:    func(of string) string { return "to_char(" + of + ", 'YYYY-MM-DD HH24:MI:SS.MS')" },
			keep:    " on conflict (group_id, partition_id) do update set next_offset = excluded.next_offset",
			open:    func(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) },
			start: func(ctx context.Context, _ string) (string, string, func(), error) {
				return onServer(ctx, servers.StartPostgres)
			},
		},
		{
			name: sqlite, param: question,
			columns: "id integer primary key, customer text, amount decimal(12,2), ts text",
			cents:   "cast(round(coalesce(sum(amount), 0) * 100) as integer)",
			time:    func(of string) string { return of },
			keep:    " on conflict (group_id, partition_id) do update set next_offset = excluded.next_offset",
			open:    func(dsn string) (*sql.DB, error) { return sql.Open("sqlite", dsn) },
			start:   sqliteFile,
		},
	}
}

func databaseNames() []string {
	var names []string
	for _, d := range databases() {
		names = append(names, d.name)
	}
	return names
}

func databaseOf(name string) (database, error) {
	for _, d := range databases() {
		if d.name == name {
			return d, nil
		}
	}
	return database{}, fmt.Errorf("there is no database %q; there are %s", name, strings.Join(databaseNames(), ", "))
}

func onServer(ctx context.Context, start func() (*servers.SQLServer, error)) (dsn, url string, drop func(), err error) {
	server, err := start()
	if err != nil {
		return "", "", nil, err
	}
	d, drop, err := server.NewDatabase(ctx, "bench_")
	return d.DSN, d.URL, drop, err
}

// sqliteFile is as durable as what `sluice run` makes.
func sqliteFile(_ context.Context, folder string) (dsn, url string, drop func(), err error) {
	file := filepath.Join(folder, "bench.db")
	return "file:" + file + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate",
		"sqlite:" + file, func() {}, nil
}

func openMariaDB(dsn string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.InterpolateParams = true // saves a round trip a statement; faster here than prepared statements
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// version asks what it is.
func (d database) version(ctx context.Context, db *sql.DB) (version string, err error) {
	query := "select version()"
	if d.name == sqlite {
		query = "select sqlite_version()"
	}
	err = db.QueryRowContext(ctx, query).Scan(&version)
	return version, err
}

// createTable is the same for every arm.
func (d database) createTable(ctx context.Context, db *sql.DB, table string) error {
	_, err := db.ExecContext(ctx, "create table "+table+" ("+d.columns+")")
	return err
}

// createOffsets makes the table that the hand-written loops keep their offsets in.
func (database) createOffsets(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `create table if not exists bench_offsets
	(group_id varchar(200), partition_id int, next_offset bigint, primary key (group_id, partition_id))`)
	return err
}

// insert is the statement that inserts so many orders.
func (d database) insert(table string, rows int) string {
	var b strings.Builder
	b.WriteString("insert into " + table + " (id, customer, amount, ts) values ")
	for n := range rows {
		if n > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%s, %s, %s, %s)", d.param(4*n+1), d.param(4*n+2), d.param(4*n+3), d.param(4*n+4))
	}
	return b.String()
}

// keepOffset takes group, partition and offset.
func (d database) keepOffset() string {
	return "insert into bench_offsets values (" + d.param(1) + ", " + d.param(2) + ", " + d.param(3) + ")" + d.keep
}

// readSums looks at the first records, by their id, and counts all.
func (d database) readSums(ctx context.Context, db *sql.DB, table string, records int64) (s sums, all int64, err error) {
	err = db.QueryRowContext(ctx, "select count(*), coalesce(sum(id), 0), "+d.cents+", coalesce("+d.time("min(ts)")+", ''), coalesce("+
		d.time("max(ts)")+", '') from "+table+" where id <= "+d.param(1), records).Scan(&s.rows, &s.ids, &s.cents, &s.first, &s.last)
	if err == nil {
		err = db.QueryRowContext(ctx, "select count(*) from "+table).Scan(&all)
	}
	if err != nil {
		err = fmt.Errorf("count table %s: %w", table, err)
	}
	return s, all, err
}
