package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	dialLimit = 10 * time.Second
	// ioLimit ends a wait for a server that went silent. It is above every limit that the sink gives to its statements.
	ioLimit = 30 * time.Second
)

// mysqlFixed are the driver's options that exactly-once writing depends on.
var mysqlFixed = []string{"clientFoundRows", "interpolateParams", "loc", "maxAllowedPacket", "multiStatements", "parseTime"}

// checkOptions finds the options that a driver does not take. It names them and quotes no value.
func checkOptions(d DSN) error {
	var errs []error
	for _, name := range sortedNames(d.Options) {
		one := DSN{Scheme: d.Scheme, Host: "localhost", Port: 1, Database: "d", Options: url.Values{name: d.Options[name]}}
		switch {
		case d.Scheme == schemeMySQL && slices.Contains(mysqlFixed, name):
			errs = append(errs, fmt.Errorf("mysql: option %s: is set by sluice; take it out", name))
			continue
		case d.Scheme == schemeMySQL:
			if _, err := mysqlConfig(one, slog.Default()); err != nil {
				errs = append(errs, fmt.Errorf("mysql: option %s: refused by the driver", name))
			}
		case d.Scheme == schemePostgres:
			if _, err := pgx.ParseConfig(one.postgresURL()); err != nil {
				errs = append(errs, fmt.Errorf("postgres: option %s: refused by the driver", name))
			}
		}
	}
	return errors.Join(errs...)
}

func sortedNames(v url.Values) []string {
	names := make([]string, 0, len(v))
	for n := range v {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Connect makes a handle; no connection is made yet. With readOnly nothing can be changed through it.
func (d DSN) Connect(logger *slog.Logger, readOnly bool) (*sql.DB, error) {
	switch d.Scheme {
	case schemeMySQL:
		cfg, err := mysqlConfig(d, logger)
		if err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, d.hide(err)
		}
		return sql.OpenDB(connector), nil
	case schemePostgres:
		cfg, err := pgx.ParseConfig(d.postgresURL())
		if err != nil {
			return nil, d.hide(err)
		}
		return stdlib.OpenDB(*cfg), nil
	}
	return sql.Open("sqlite", d.sqliteURI(readOnly))
}

func mysqlConfig(d DSN, logger *slog.Logger) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN("tcp(" + d.Address() + ")/?" + d.Options.Encode())
	if err != nil {
		return nil, errors.New("mysql: the driver refuses the options")
	}
	cfg.User, cfg.Passwd, cfg.DBName = d.User, d.Password, d.Database
	cfg.ClientFoundRows, cfg.InterpolateParams, cfg.ParseTime, cfg.Loc = true, true, true, time.UTC
	cfg.MaxAllowedPacket = 0 // ask the server, so that what is too large is refused here and the connection lives on
	cfg.Timeout = withDefault(cfg.Timeout, dialLimit)
	cfg.ReadTimeout = withDefault(cfg.ReadTimeout, ioLimit)
	cfg.WriteTimeout = withDefault(cfg.WriteTimeout, ioLimit)
	cfg.Logger = driverLogger{logger, d}
	return cfg, nil
}

func withDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// driverLogger takes what the MySQL driver would print to stderr.
type driverLogger struct {
	logger *slog.Logger
	dsn    DSN
}

func (l driverLogger) Print(v ...any) {
	l.logger.Debug("mysql driver", "address", l.dsn.Address(), "message", l.dsn.hide(errors.New(fmt.Sprint(v...))).Error())
}

func (d DSN) postgresURL() string {
	options := maps.Clone(d.Options)
	if options == nil {
		options = url.Values{}
	}
	if !options.Has("connect_timeout") {
		options.Set("connect_timeout", "10")
	}
	u := url.URL{Scheme: schemePostgres, Host: d.Address(), Path: "/" + d.Database, RawQuery: options.Encode()}
	switch {
	case d.Password != "":
		u.User = url.UserPassword(d.User, d.Password)
	case d.User != "":
		u.User = url.User(d.User)
	}
	return u.String()
}

func (d DSN) sqliteURI(readOnly bool) string {
	file := "file:" + (&url.URL{Path: d.Database}).EscapedPath()
	if readOnly {
		return file + "?mode=ro&_pragma=busy_timeout(10000)"
	}
	return file + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}

// Reach connects once, within the limit that ctx has. It changes nothing.
func (d DSN) Reach(ctx context.Context, db *sql.DB) error {
	began := time.Now()
	err := db.PingContext(ctx)
	switch {
	case err == nil:
		return nil
	case d.Scheme == schemeSQLite:
		return fmt.Errorf("database %s: cannot open it: %w", d, err)
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		return fmt.Errorf("database %s: no answer from %s within %v; is something else listening there?",
			d, d.Address(), time.Since(began).Round(100*time.Millisecond))
	}
	// pgx tells each of its tries in a line of its own.
	text := strings.ReplaceAll(d.hide(err).Error(), "\n\t", " ")
	return fmt.Errorf("database %s: cannot connect to %s: %s", d, d.Address(), text)
}

// missingFile tells whether an SQLite file is not there yet.
func (d DSN) missingFile() bool {
	_, err := os.Stat(d.Database)
	return d.Scheme == schemeSQLite && errors.Is(err, os.ErrNotExist)
}

// hide takes the password out of an error's text, should a driver or a server ever repeat it.
func (d DSN) hide(err error) error {
	if err == nil || d.Password == "" || !strings.Contains(err.Error(), d.Password) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), d.Password, "***"))
}
