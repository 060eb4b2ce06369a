package servers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/sluice-go/sluice/test/process"
)

func startPostgres() (*SQLServer, error) {
	if dsn := os.Getenv("POSTGRES_DSN"); dsn != "" {
		return externalPostgres(dsn)
	}
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's programs are not in PATH
	initdb, err := findProgram("initdb", folders...)
	if err != nil {
		return nil, err
	}
	credential, err := postgresCredential()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), process.StartTimeout)
	defer cancel()
	dir, err := newDataDir()
	if err != nil {
		return nil, err
	}
	s, err := initPostgres(ctx, dir, filepath.Dir(initdb), credential)
	if err == nil {
		err = s.restart()
	}
	if err != nil {
		dir.remove()
		return nil, err
	}
	return s, nil
}

// postgresCredential is nil but for root, whom PostgreSQL refuses to run as.
func postgresCredential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // nil is "as we are" for exec, too
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL's user is %w: %w", errMissing, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func initPostgres(ctx context.Context, dir *dataDir, bin string, credential *syscall.Credential) (*SQLServer, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	password := dir.file("password")
	if err := os.WriteFile(password, []byte(sqlPassword), 0o600); err != nil {
		return nil, err
	}
	if credential != nil {
		for _, path := range []string{dir.path, password} {
			if err := os.Chown(path, int(credential.Uid), int(credential.Gid)); err != nil {
				return nil, err
			}
		}
	}
	data := dir.file("data")
	if _, err := process.Output(ctx, credential, filepath.Join(bin, "initdb"), "-D", data, "-U", sqlUser, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, err
	}
	s := newPostgres(url.URL{
		Scheme: "postgres", User: url.UserPassword(sqlUser, sqlPassword), Host: address(port), Path: "/postgres",
		RawQuery: "sslmode=disable",
	})
	s.server = server{
		name:  "PostgreSQL",
		dir:   dir,
		ready: askSQL(s.DB),
		process: &process.Process{
			Name:       "PostgreSQL",
			Credential: credential,
			Log:        dir.file("postgres.log"),
			Quit:       syscall.SIGINT, // after SIGTERM it waits for its clients to go
			Argv: []string{
				filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
				"-c", "unix_socket_directories=" + dir.path, "-c", "max_connections=300",
			},
		},
	}
	return s, nil
}

func newPostgres(at url.URL) *SQLServer {
	database := func(u url.URL) DB { return DB{Driver: "pgx", DSN: u.String(), URL: u.String()} }
	return &SQLServer{
		server: server{name: "PostgreSQL"},
		DB:     database(at),
		drop:   "drop database if exists NAME with (force)",
		at: func(name string) DB {
			other := at
			other.Path = "/" + name
			return database(other)
		},
	}
}

// externalPostgres takes the URL and the form "host=… user=…"; of the latter only address, user and database are kept.
func externalPostgres(dsn string) (*SQLServer, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("POSTGRES_DSN: %w", err)
	}
	if u, err := url.Parse(dsn); err == nil && u.Host != "" {
		return newPostgres(*u), nil
	}
	return newPostgres(url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password),
		Host: net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), Path: "/" + config.Database,
	}), nil
}
