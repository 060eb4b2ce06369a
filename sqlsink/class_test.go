package sqlsink

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"testing"
)

type stateError string

func (e stateError) Error() string    { return "ERROR (SQLSTATE " + string(e) + ")" }
func (e stateError) SQLState() string { return string(e) }

type codeError int

func (e codeError) Error() string { return fmt.Sprint("sqlite: ", int(e)) }
func (e codeError) Code() int     { return int(e) }

type numberError struct {
	number uint16
	state  string
	text   string
}

func (e numberError) Error() string { return fmt.Sprintf("Error %d: %s", e.number, e.text) }

func findNumber(err error) (uint16, string, bool) {
	e, ok := errors.AsType[numberError](err)
	return e.number, e.state, ok
}

func TestClasses(t *testing.T) {
	t.Parallel()
	number := func(n uint16) error { return numberError{number: n, state: "HY000"} }
	pg, my, lite := postgres{}, mysql{findNumber}, sqlite{}
	for _, c := range []struct {
		d    dialect
		err  error
		want class
	}{
		{pg, stateError("40001"), classRetry},  // serialization failure
		{pg, stateError("40P01"), classRetry},  // deadlock
		{pg, stateError("55P03"), classRetry},  // lock timeout
		{pg, stateError("22001"), classRow},    // too long
		{pg, stateError("22003"), classRow},    // out of range
		{pg, stateError("22P02"), classRow},    // bad JSON, bad number
		{pg, stateError("22021"), classRow},    // a zero byte
		{pg, stateError("23502"), classRow},    // null
		{pg, stateError("23503"), classRow},    // foreign key
		{pg, stateError("23505"), classRow},    // duplicate
		{pg, stateError("23514"), classRow},    // check
		{pg, stateError("54000"), classRow},    // index row too large
		{pg, stateError("21000"), classTwice},  // a key twice in an upsert
		{pg, stateError("42804"), classOutage}, // wrong type: the table, not the row
		{pg, stateError("42P01"), classOutage}, // no table
		{pg, stateError("42703"), classOutage}, // no column
		{pg, stateError("40003"), classOutage}, // statement completion unknown
		{pg, stateError("53100"), classOutage}, // disk full
		{pg, stateError("57P01"), classOutage}, // shutdown
		{pg, stateError("57014"), classOutage}, // statement timeout
		{pg, stateError("25P03"), classOutage}, // idle in transaction
		{pg, stateError("25006"), classOutage}, // read only
		{pg, stateError("P0001"), classRow},    // raise exception, as SQLite's raise
		{pg, stateError("XX000"), classOutage},
		{pg, errors.New("failed to encode args[3]: unable to encode 1.5 into int4"), classRow},

		{my, number(1213), classRetry}, {my, number(1205), classRetry}, {my, number(1020), classRetry},
		{my, number(1048), classRow}, {my, number(1062), classRow}, {my, number(1264), classRow}, {my, number(1265), classRow},
		{my, number(1292), classRow}, {my, number(1366), classRow}, {my, number(1406), classRow}, {my, number(1451), classRow},
		{my, number(1452), classRow}, {my, number(1690), classRow}, {my, number(3819), classRow}, {my, number(4025), classRow},
		{my, numberError{number: 9999, state: "22007"}, classRow},
		{my, numberError{number: 9999, state: "23000"}, classRow},
		{my, number(1153), classTooLarge},
		{my, numberError{1105, "HY000", "Parameter of prepared statement … is longer than 'max_allowed_packet' bytes"}, classTooLarge},
		{my, numberError{1105, "HY000", "unknown error"}, classOutage},
		{my, errors.New("packet for query is too large. Try adjusting the `Config.MaxAllowedPacket`"), classTooLarge},
		{my, number(1021), classOutage}, {my, number(1114), classOutage}, // disk full, table full
		{my, number(1290), classOutage}, {my, number(1146), classOutage}, {my, number(1054), classOutage},
		{my, number(1045), classOutage}, {my, number(1364), classOutage}, {my, number(1969), classOutage},
		{my, errors.New("invalid connection"), classOutage},

		{lite, codeError(5), classRetry}, {lite, codeError(517), classRetry}, {lite, codeError(6), classRetry},
		{lite, codeError(19), classRow}, {lite, codeError(1555), classRow},
		{lite, codeError(2067), classRow}, {lite, codeError(787), classRow},
		{lite, codeError(20), classRow}, {lite, codeError(18), classTooLarge},
		{lite, codeError(13), classOutage}, {lite, codeError(8), classOutage}, // disk full, read only
		{lite, codeError(10), classOutage}, {lite, codeError(1), classOutage},
		{lite, codeError(9), classOutage}, {lite, codeError(25), classOutage},
	} {
		for _, err := range []error{c.err, fmt.Errorf("commit: %w", c.err)} {
			if got := c.d.classify(err); got != c.want {
				t.Errorf("%s: %v: class %d, want %d", c.d.name(), err, got, c.want)
			}
		}
	}
	for _, d := range []dialect{pg, my, lite} {
		for _, err := range []error{
			driver.ErrBadConn, io.ErrUnexpectedEOF, errNoMatch, errNoRow, errNoAnswer, errors.New("anything"),
			context.DeadlineExceeded, context.Canceled, fmt.Errorf("failed to encode args[1]: %w", context.Canceled),
		} {
			if got := d.classify(err); got != classOutage {
				t.Errorf("%s: %v: class %d, want an outage", d.name(), err, got)
			}
		}
		if got := d.classify(errors.New(`sql: converting argument $2 type: unsupported type chan int, a chan`)); got != classRow {
			t.Errorf("%s: a value of no SQL type: class %d", d.name(), got)
		}
	}
}
