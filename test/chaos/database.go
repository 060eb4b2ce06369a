package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluice-go/sluice/test/servers"
)

var engines = []engine{mariaDB, postgres, sqLite}

// database is where jobs of one engine write.
type database struct {
	engine  engine
	driver  string
	dsn     string
	address string             // of the server
	server  *servers.SQLServer // nil: SQLite
}

// startDatabase starts a server, or makes room for a file of so many rows.
func startDatabase(ctx context.Context, e engine, out string, rows int) (*database, error) {
	d := &database{engine: e}
	var err error
	switch e {
	case mariaDB:
		d.server, err = servers.StartMariaDB()
	case postgres:
		d.server, err = servers.StartPostgres()
	case sqLite:
		d.driver, d.dsn = "sqlite", sqliteDSN(filepath.Join(out, "ledger.db"), rows)
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	at, _, err := d.server.NewDatabase(ctx, "chaos_") // it goes with the server
	if err != nil {
		return nil, err
	}
	d.driver, d.dsn = at.Driver, at.DSN
	if err := d.parse(); err != nil {
		return nil, err
	}
	return d, nil
}

// parse gives the connection the driver's recommended settings, and finds the server's address.
func (d *database) parse() error {
	if d.engine == postgres {
		u, err := url.Parse(d.dsn)
		d.address = u.Host
		return err
	}
	cfg, err := mysql.ParseDSN(d.dsn)
	if err != nil {
		return err
	}
	cfg.InterpolateParams, cfg.ClientFoundRows, cfg.MaxAllowedPacket = true, true, 0
	d.address, d.dsn = cfg.Addr, cfg.FormatDSN()
	return nil
}

// through is the same database at another address, a proxy's.
func (d *database) through(address string) string {
	return strings.Replace(d.dsn, d.address, address, 1)
}

// sqliteDSN is that of a file which grows to a limit and no further, so that a fault can fill it.
func sqliteDSN(file string, rows int) string {
	const rowSize, pageSize, spare = 160, 4096, 4096 // of a row more than enough
	return fmt.Sprintf("file:%s?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=max_page_count(%d)"+
		"&_txlock=immediate", file, rows*rowSize/pageSize+spare)
}

// open opens the database for the harness itself.
func (d *database) open() (*sql.DB, error) { return sql.Open(d.driver, d.dsn) }

// create makes the table of a job. It has no key that would refuse a row that is there already.
func (d *database) create(ctx context.Context, j job) error {
	id := map[engine]string{
		mariaDB:  "bigint not null auto_increment, index (id)",
		postgres: "bigserial",
		sqLite:   "integer primary key autoincrement",
	}[d.engine]
	return d.exec(ctx, fmt.Sprintf("create table %s (member varchar(64) not null, partition_id int not null, "+
		"record_offset bigint not null, record_key varchar(32) not null, number bigint not null, id %s)", j.table(), id))
}

// rows are what a job's table holds, in the order in which they were written.
func (d *database) rows(ctx context.Context, j job) (all []output, err error) {
	db, err := d.open()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "select member, partition_id, record_offset, record_key, number from "+j.table()+" order by id")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o output
		if err := rows.Scan(&o.member, &o.at.partition, &o.at.offset, &o.entry.key, &o.entry.number); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// fill leaves no room in SQLite's file, and returns what makes room again.
func (d *database) fill(ctx context.Context) (empty func() error, err error) {
	ctx = context.WithoutCancel(ctx)
	if err := d.exec(ctx, "create table if not exists ballast (block blob)"); err != nil {
		return nil, err
	}
	for size := 1 << 20; size >= 1<<10; size >>= 5 { // big blocks first, then small ones into what is left
		for err = nil; err == nil; {
			err = d.exec(ctx, fmt.Sprintf("insert into ballast values (zeroblob(%d))", size))
		}
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code() != sqlite3.SQLITE_FULL {
			return nil, err
		}
	}
	return func() error { return d.exec(ctx, "delete from ballast") }, nil
}

// exec runs a statement, again while SQLite is busy with a member's.
func (d *database) exec(ctx context.Context, statement string) error {
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		_, err = db.ExecContext(ctx, statement)
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
	}
}
