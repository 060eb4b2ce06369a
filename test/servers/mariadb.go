package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/sluice-go/sluice/test/process"
)

func startMariaDB() (*SQLServer, error) { return startMariaDBWith() }

// startMariaDBWith takes more arguments for the server.
func startMariaDBWith(more ...string) (*SQLServer, error) {
	// Tests kill the server, and the driver would print every connection that this breaks.
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil {
		return nil, err
	}
	if dsn := os.Getenv("MYSQL_DSN"); dsn != "" {
		return externalMariaDB(dsn)
	}
	daemon, err := findProgram("mariadbd", "/usr/sbin", "/usr/libexec")
	if err != nil {
		return nil, err
	}
	install, err := findProgram("mariadb-install-db", "/usr/bin")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), process.StartTimeout)
	defer cancel()
	dir, err := newDataDir()
	if err != nil {
		return nil, err
	}
	s, err := installMariaDB(ctx, dir, daemon, install, more)
	if err == nil {
		err = s.restart()
	}
	if err != nil {
		dir.remove()
		return nil, err
	}
	return s, nil
}

// installMariaDB prepares the data folder. Its root has no password; the probe makes our own user, which has one.
func installMariaDB(ctx context.Context, dir *dataDir, daemon, install string, more []string) (*SQLServer, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	prepare := []string{install, "--no-defaults", "--datadir=" + dir.file("data"), "--auth-root-authentication-method=normal"}
	serve := []string{
		daemon, "--no-defaults", "--datadir=" + dir.file("data"), "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
		"--socket=" + dir.file("socket"), "--pid-file=" + dir.file("pid"),
		"--skip-name-resolve", // or 127.0.0.1 is 'localhost' to it
		"--max-connections=300",
	}
	serve = append(serve, more...)
	if os.Getuid() == 0 {
		prepare, serve = append(prepare, "--user=root"), append(serve, "--user=root")
	}
	if _, err := process.Output(ctx, nil, prepare...); err != nil {
		return nil, err
	}
	config := mysqlConfig(address(port))
	root := mysqlConfig(address(port))
	root.User, root.Passwd = "root", ""
	s := newMariaDB(config)
	s.server = server{
		name: "MariaDB",
		dir:  dir,
		ready: askSQL(mysqlDatabase(root, root.DBName),
			fmt.Sprintf("create user if not exists '%s'@'%%' identified by '%s'", sqlUser, sqlPassword),
			fmt.Sprintf("grant all privileges on *.* to '%s'@'%%' with grant option", sqlUser)),
		process: &process.Process{Name: "MariaDB", Argv: serve, Log: dir.file("mariadb.log")},
	}
	return s, nil
}

func mysqlConfig(address string) *mysql.Config {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName, c.User, c.Passwd = "tcp", address, "mysql", sqlUser, sqlPassword
	return c
}

func newMariaDB(config *mysql.Config) *SQLServer {
	return &SQLServer{
		server: server{name: "MariaDB"},
		DB:     mysqlDatabase(config, config.DBName),
		at:     func(name string) DB { return mysqlDatabase(config, name) },
		drop:   "drop database if exists NAME",
	}
}

func mysqlDatabase(config *mysql.Config, name string) DB {
	c := config.Clone()
	c.DBName = name
	u := url.URL{Scheme: "mysql", User: url.UserPassword(c.User, c.Passwd), Host: c.Addr, Path: "/" + name}
	return DB{Driver: "mysql", DSN: c.FormatDSN(), URL: u.String()}
}

// externalMariaDB takes the driver's form and the URL.
func externalMariaDB(dsn string) (*SQLServer, error) {
	if !strings.HasPrefix(dsn, "mysql://") {
		config, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, fmt.Errorf("MYSQL_DSN: %w", err)
		}
		return newMariaDB(config), nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("MYSQL_DSN: %w", err)
	}
	config := mysqlConfig(u.Host)
	config.DBName = strings.TrimPrefix(u.Path, "/")
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	return newMariaDB(config), nil
}

// findProgram looks in PATH, then in the folders: those of servers are often not in a user's PATH.
func findProgram(name string, folders ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is %w", name, errMissing)
}
