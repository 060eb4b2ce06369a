package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/tidwall/gjson"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Row is what a record becomes: a value a column, in the order of the file. A row of a tombstone has values in its key
// columns alone, one that the filter rejected has none.
type Row struct {
	Values    []any
	Tombstone bool
	Rejected  bool
}

// Mapper makes rows of records. It is safe for use by several goroutines.
//
// Numbers keep every digit: whole ones that fit become int64 or their text, all others go as text, and the database reads
// them. Objects and arrays are JSON text, a missing path and null are NULL.
type Mapper struct {
	format    Format
	columns   []Column
	binary    []bool // by column: wants bytes
	json      []bool // by column: wants JSON text, quotes and all
	key       []bool // by column: belongs to the table's key
	filter    *Expression
	set       []*Expression // by column; nil where it is not computed
	tombstone string
	scheme    string
}

// NewMapper makes the mapper of a file that holds no mistake.
func NewMapper(s *Spec) *Mapper {
	m := &Mapper{
		format: s.Decode, columns: s.SQL.Columns, tombstone: s.SQL.Tombstone, scheme: s.SQL.DSN.Scheme,
		filter: s.Transform.Filter, set: make([]*Expression, len(s.SQL.Columns)),
		binary: make([]bool, len(s.SQL.Columns)), json: make([]bool, len(s.SQL.Columns)), key: make([]bool, len(s.SQL.Columns)),
	}
	for i, c := range m.columns {
		sqlType := strings.ToLower(c.Type)
		m.binary[i] = strings.Contains(sqlType, "blob") || strings.Contains(sqlType, "bytea") || strings.Contains(sqlType, "binary")
		m.json[i] = strings.Contains(sqlType, "json")
		m.key[i] = slices.Contains(s.SQL.Key, c.Name)
		for _, computed := range s.Transform.Set {
			if c.From == FromSet && c.Path == computed.Name {
				m.set[i] = computed.Expression
			}
		}
	}
	return m
}

var errTombstone = errors.New("the record has no value (a tombstone); sink.sql.tombstone may say skip or delete")

// Decode makes a record's row. An error means that no row can ever be made of it; it never quotes the record.
func (m *Mapper) Decode(r *kgo.Record) (Row, error) {
	row := Row{Values: make([]any, len(m.columns)), Tombstone: r.Value == nil}
	switch {
	case !row.Tombstone:
	case m.tombstone == TombstoneSkip:
		return row, nil
	case m.tombstone != TombstoneDelete:
		return row, errTombstone
	}
	seen := &variables{record: r, format: m.format}
	if !row.Tombstone {
		var err error
		if seen.fields, err = m.parse(r.Value); err != nil {
			return row, err
		}
		if m.filter != nil {
			goesOn, err := m.filter.holds(seen)
			row.Rejected = err == nil && !goesOn
			if err != nil || row.Rejected {
				return row, err
			}
		}
	}
	for i, c := range m.columns {
		if row.Tombstone && !m.key[i] {
			continue
		}
		var err error
		switch c.From {
		case FromValue:
			row.Values[i] = m.fromValue(i, seen)
		case FromSet:
			row.Values[i], err = m.fromSet(i, seen)
		case FromKey:
			row.Values[i], err = m.fromKey(i, r.Key)
		case FromPartition:
			row.Values[i] = m.integer(int64(r.Partition))
		case FromOffset:
			row.Values[i] = m.integer(r.Offset)
		case FromTimestamp:
			row.Values[i] = m.time(r.Timestamp.UTC())
		}
		if err == nil && m.key[i] && row.Values[i] == nil {
			err = errors.New("no value for it, and it belongs to the table's key")
		}
		if err != nil {
			return row, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return row, nil
}

// parse sees whether a value is what decode says, and whether a line of CSV has what the columns take.
func (m *Mapper) parse(value []byte) (fields []string, err error) {
	if fields, err = m.format.parse(value); err != nil || m.format.Name != FormatCSV {
		return nil, err
	}
	for _, c := range m.columns {
		if n, _ := strconv.Atoi(c.Path); c.From == FromValue && n >= len(fields) {
			return nil, fmt.Errorf("the line has %d fields; column %s is field %d, counted from 0", len(fields), c.Name, n)
		}
	}
	return fields, nil
}

func (m *Mapper) fromValue(i int, v *variables) any {
	switch path := m.columns[i].Path; {
	case m.format.Name == FormatCSV:
		return m.csvField(v.fields, i)
	case m.format.Name == FormatRaw:
		return m.text(i, v.text())
	case path == "":
		return m.result(i, gjson.Parse(v.text()))
	default:
		return m.result(i, gjson.Get(v.text(), path))
	}
}

func (m *Mapper) fromKey(i int, key []byte) (any, error) {
	switch {
	case key == nil:
		return nil, nil //nolint:nilnil // NULL
	case m.columns[i].Path == "":
		return m.text(i, string(key)), nil
	case nestedTooDeep(key):
		return nil, errors.New("the record's key " + nestedToo)
	case !gjson.ValidBytes(key):
		return nil, errors.New("the record's key is not JSON, so there is no path in it")
	}
	return m.result(i, gjson.GetBytes(key, m.columns[i].Path)), nil
}

// result turns a JSON value into what a driver takes without losing a digit.
func (m *Mapper) result(i int, v gjson.Result) any {
	if m.json[i] && v.Exists() && v.Type != gjson.Null {
		return v.Raw
	}
	switch v.Type {
	case gjson.Null:
		return nil
	case gjson.True:
		return m.boolean(true)
	case gjson.False:
		return m.boolean(false)
	case gjson.Number:
		return m.number(v.Raw)
	case gjson.String:
		return m.text(i, v.Str)
	case gjson.JSON:
	}
	return v.Raw
}

// boolean and number mind that PostgreSQL's driver refuses a Go value of another type than the column's, while it takes text
// for any type and the server reads it; MySQL and SQLite have no truth values.
func (m *Mapper) boolean(b bool) any {
	switch {
	case m.scheme == schemePostgres:
		return strconv.FormatBool(b)
	case b:
		return int64(1)
	}
	return int64(0)
}

func (m *Mapper) number(raw string) any {
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil && raw != "-0" {
		return m.integer(n)
	}
	return raw
}

func (m *Mapper) integer(n int64) any {
	if m.scheme == schemePostgres {
		return pgInteger(n)
	}
	return n
}

// pgInteger is a whole number that PostgreSQL's driver takes for columns of text as well, and that is a number to
// everybody else.
type pgInteger int64

// Int64Value implements pgtype.Int64Valuer.
func (n pgInteger) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(n), Valid: true}, nil
}

// TextValue implements pgtype.TextValuer.
func (n pgInteger) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: strconv.FormatInt(int64(n), 10), Valid: true}, nil
}

func (m *Mapper) time(t time.Time) any {
	switch m.scheme {
	case schemePostgres:
		return t.Format(time.RFC3339Nano)
	case schemeSQLite: // what SQLite's own functions write and read
		return t.Format("2006-01-02 15:04:05.000")
	}
	return t
}

func (m *Mapper) text(i int, s string) any {
	if m.binary[i] {
		return []byte(s)
	}
	return s
}

// csvField returns NULL for an empty field, as PostgreSQL's COPY does.
func (m *Mapper) csvField(fields []string, i int) any {
	n, _ := strconv.Atoi(m.columns[i].Path)
	if fields[n] == "" {
		return nil
	}
	return m.text(i, fields[n])
}
