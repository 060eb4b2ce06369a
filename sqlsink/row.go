package sqlsink

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Row is what becomes of a message: made by Put, Delete or Skip.
type Row struct {
	kind   rowKind
	values []any
}

type rowKind int8

const (
	rowNone rowKind = iota
	rowPut
	rowDelete
	rowSkip
)

// Put writes a row. values are in the order of Config.Columns, of any type that the driver takes.
func Put(values ...any) Row { return Row{rowPut, values} }

// Delete removes the row with this key, if there is one; it is what a tombstone usually means. key is in the order of
// Config.Key. Only with Mode Upsert.
func Delete(key ...any) Row { return Row{rowDelete, key} }

// Skip writes nothing: the record is finished.
func Skip() Row { return Row{kind: rowSkip} }

// op is the row of one message, ready to be written.
type op struct {
	message int // index in Batch.Messages
	kind    rowKind
	values  []any
	key     []any  // the values of Config.Key; nil without one
	id      string // the key, so that equal ids are equal to every database; empty with Mode Insert
	earlier *op    // the op before this one with the same id
	size    int    // an upper estimate of its bytes in a statement
}

// newOp checks a row. Its errors are the message's fault.
func (s *settings) newOp(message int, r Row) (*op, error) {
	o := &op{message: message, kind: r.kind, values: r.values}
	switch r.kind {
	case rowPut:
		if len(r.values) != len(s.columns) {
			return nil, fmt.Errorf("the row has %d values for %d columns", len(r.values), len(s.columns))
		}
		for _, i := range s.key {
			o.key = append(o.key, r.values[i])
		}
	case rowDelete:
		if s.mode != Upsert {
			return nil, errors.New("the row is a Delete, which needs Mode Upsert")
		}
		if len(r.values) != len(s.key) {
			return nil, fmt.Errorf("the Delete has %d values for a key of %d columns", len(r.values), len(s.key))
		}
		o.key = r.values
	default:
		return nil, errors.New("the row is none of Put, Delete and Skip")
	}
	for _, v := range r.values {
		o.size += valueSize(v)
	}
	if s.mode != Upsert {
		return o, nil
	}
	var id []byte
	for n, v := range o.key {
		plain := plainValue(v)
		if plain == nil {
			// Unique indexes let any number of NULLs in: each redelivery would be a new row.
			return nil, fmt.Errorf("the key column %q is NULL", s.columns[s.key[n]].Name)
		}
		id = appendIdentity(id, plain)
	}
	o.id = string(id)
	return o, nil
}

// deleteKey makes the values of a Delete ones that hit no row but their own.
func (c *core) deleteKey(r Row) (Row, error) {
	info := c.table.Load()
	if r.kind != rowDelete || info == nil || len(r.values) != len(info.compare) {
		return r, nil
	}
	r.values = slices.Clone(r.values)
	for i, compare := range info.compare {
		if compare == nil || plainValue(r.values[i]) == nil {
			continue
		}
		v, err := compare(r.values[i])
		if err != nil {
			return r, fmt.Errorf("the Delete's %q: %w", c.columns[c.key[i]].Name, err)
		}
		r.values[i] = v
	}
	return r, nil
}

// lastOps links the ops of each key and returns the last of each, in offset order. Ops must be in offset order. Without
// keys it returns all of them.
func lastOps(ops []*op) []*op {
	last := make(map[string]*op, len(ops))
	for _, o := range ops {
		if o.id != "" {
			o.earlier = last[o.id]
			last[o.id] = o
		}
	}
	kept := make([]*op, 0, len(ops))
	for _, o := range ops {
		if o.id == "" || last[o.id] == o {
			kept = append(kept, o)
		}
	}
	return kept
}

// plainValue resolves a driver.Valuer and pointers, as database/sql does; nil is NULL. Only for looking at a value.
func plainValue(v any) any {
	if valuer, ok := v.(driver.Valuer); ok {
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
			return nil
		}
		if got, err := valuer.Value(); err == nil {
			return got
		}
		return v
	}
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return nil
		}
		rv = rv.Elem()
	}
	if !rv.IsValid() {
		return nil
	}
	return rv.Interface()
}

// appendIdentity appends v so that values with the same identity are the same to every database. Values that differ here
// may still be the same to one (another case, 1 and "1"); see order.
func appendIdentity(b []byte, v any) []byte {
	text := func(kind byte, s string) []byte {
		b = append(b, kind)
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		return append(b, s...)
	}
	if t, ok := v.(time.Time); ok {
		return text('t', t.Format(time.RFC3339Nano)) // the zone counts where the column has none
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	default:
	case reflect.String:
		return text('s', rv.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return text('i', strconv.FormatInt(rv.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return text('i', strconv.FormatUint(rv.Uint(), 10))
	case reflect.Float32, reflect.Float64:
		return text('f', strconv.FormatUint(math.Float64bits(rv.Float()), 16))
	case reflect.Slice:
		if rv.Type().Elem().Kind() == reflect.Uint8 {
			return text('b', string(rv.Bytes()))
		}
	}
	return text('x', fmt.Sprintf("%T:%v", v, v))
}

// valueSize is an upper estimate of a value's bytes in a statement: text may double when the driver escapes it.
func valueSize(v any) int {
	const around = 32
	if _, ok := v.(time.Time); ok || v == nil {
		return around
	}
	switch rv := reflect.ValueOf(plainValue(v)); rv.Kind() {
	case reflect.String:
		return around + 2*rv.Len()
	case reflect.Slice:
		if rv.Type().Elem().Kind() == reflect.Uint8 {
			return around + 2*rv.Len()
		}
		return around + 2*len(fmt.Sprint(v))
	case reflect.Map, reflect.Struct, reflect.Array:
		return around + 2*len(fmt.Sprint(v))
	default:
		return around
	}
}
