package sqlsink

import (
	"errors"
	"strings"
)

// class is what an error of the database means for the transaction that met it.
type class int

const (
	// classOutage is every error that we do not know: nothing can succeed now, no row is to blame.
	classOutage class = iota
	// classRetry: the database gave the transaction up in favour of another one. The same again may succeed at once.
	classRetry
	// classRow: a value of a row is to blame. It can never succeed.
	classRow
	// classTooLarge: the statement is over the database's limit. Its rows may fit one by one; a row that does not is to blame.
	classTooLarge
	// classTwice: the database takes two rows of one statement for the same. They are fine in two statements.
	classTwice
)

// rowFault tells whether taking rows apart may find one to blame.
func (c class) rowFault() bool { return c == classRow || c == classTooLarge || c == classTwice }

// sqlState finds a SQLSTATE in err: pgx and lib/pq have this method.
func sqlState(err error) (string, bool) {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState(), true
	}
	return "", false
}

// classifyClient knows errors of database/sql and of drivers that come before anything is sent: the value cannot be
// turned into what the column wants. They have neither type nor code.
func classifyClient(err error) class {
	msg := err.Error()
	switch {
	case strings.Contains(msg, "sql: converting argument"): // database/sql
		return classRow
	case strings.Contains(msg, "failed to encode args["): // pgx
		return classRow
	case strings.Contains(msg, "packet for query is too large"): // go-sql-driver
		return classTooLarge
	}
	return classOutage
}

// classifyState knows the SQLSTATEs of the standard and of PostgreSQL.
func classifyState(state string) class {
	switch state {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock timeout
		return classRetry
	case "21000": // ON CONFLICT DO UPDATE command cannot affect row a second time
		return classTwice
	case "54000", "54001": // index row size exceeds the maximum; JSON nested too deep
		return classRow
	case "44000", "P0001": // CHECK OPTION of a view; RAISE EXCEPTION in a trigger
		return classRow
	case "42601": // a value that tsvector, tsquery or jsonpath cannot read: the sink's statements have no such error
		return classRow
	}
	if strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") { // data exception, integrity constraint violation
		return classRow
	}
	return classOutage
}
