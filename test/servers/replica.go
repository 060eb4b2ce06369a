package servers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Pair is a MariaDB server and its asynchronous replica, which is read-only. Only the test that made them uses them.
type Pair struct {
	Primary, Replica *SQLServer
}

// MariaDBPair starts a pair, and stops it at the end of the test.
func MariaDBPair(tb testing.TB) *Pair {
	tb.Helper()
	if os.Getenv("MYSQL_DSN") != "" {
		unavailable(tb, errors.New("MariaDB was given from outside, and a replica of it cannot be made"))
	}
	start := func(id int, more ...string) *SQLServer {
		s, err := startMariaDBWith(append(more, fmt.Sprintf("--server-id=%d", id), "--log-bin=log", "--binlog-format=row")...)
		endsWith(tb, err, func() { s.remove() })
		return s
	}
	p := new(Pair)
	p.Primary = start(1)
	p.Replica = start(2, "--read-only", "--relay-log=relay")
	from, err := mysql.ParseDSN(p.Primary.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	host, port, err := net.SplitHostPort(from.Addr)
	if err != nil {
		tb.Fatal(err)
	}
	// The tests' user may do everything, also write to a server that is read-only. Members may not.
	p.tell(tb, p.Primary, fmt.Sprintf("revoke read only admin on *.* from '%s'@'%%'", sqlUser))
	p.tell(tb, p.Replica,
		fmt.Sprintf("revoke read only admin on *.* from '%s'@'%%'", sqlUser),
		fmt.Sprintf("change master to master_host = '%s', master_port = %s, master_user = '%s', master_password = '%s', "+
			"master_use_gtid = slave_pos", host, port, from.User, from.Passwd),
		"start slave")
	return p
}

// Copy is where the replica has what the primary has at d.
func (p *Pair) Copy(tb testing.TB, d DB) DB {
	tb.Helper()
	c, err := mysql.ParseDSN(d.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	return p.Replica.at(c.DBName)
}

// Lag makes the replica receive nothing any more: what the primary commits from now on is lost with it.
func (p *Pair) Lag(tb testing.TB) { tb.Helper(); p.tell(tb, p.Replica, "stop slave io_thread") }

// Promote makes the replica the server, with what it has received.
func (p *Pair) Promote(tb testing.TB) {
	tb.Helper()
	p.tell(tb, p.Replica, "stop slave", "reset slave all", "set global read_only = 0")
}

// tell speaks as root.
func (*Pair) tell(tb testing.TB, s *SQLServer, statements ...string) {
	tb.Helper()
	c, err := mysql.ParseDSN(s.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	c.User, c.Passwd = "root", ""
	if err := askSQL(mysqlDatabase(c, c.DBName), statements...)(tb.Context()); err != nil {
		tb.Fatalf("%s: %v", s.name, err)
	}
}
