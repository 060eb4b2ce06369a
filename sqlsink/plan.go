package sqlsink

import (
	"cmp"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// statement is one statement of a plan.
type statement struct {
	text string
	args []any
}

const (
	// maxStatementBytes bounds a statement where the database does not: beyond that size nothing is gained.
	maxStatementBytes = 8 << 20
	// maxDeleteRows bounds "(a = ? and b = ?) or …", which SQLite allows 1,000 deep.
	maxDeleteRows = 200
)

// plan cuts ops into statements of one kind, of at most maxRows rows, and below the database's limits on placeholders and
// bytes. A row that is over the limit by itself gets a statement of its own, and its own error.
func (c *core) plan(ops []*op, maxRows, packet int) iter.Seq[statement] {
	info, careful := c.table.Load(), c.careful.Load()
	ops = order(ops, info, careful)
	maxBytes := maxStatementBytes
	if packet > 0 {
		maxBytes = min(maxBytes, packet/10*9)
	}
	return func(yield func(statement) bool) {
		for len(ops) > 0 {
			kind, width, most := ops[0].kind, len(ops[0].values), maxRows
			switch {
			case kind == rowDelete && careful: // whatever order a database takes the rows of one statement in
				most = 1
			case kind == rowDelete && width > 1:
				most = min(most, maxDeleteRows)
			}
			most = max(1, min(most, c.dialect.maxParams()/width))
			n, bytes := 0, 512
			for n < len(ops) && n < most && ops[n].kind == kind {
				bytes += ops[n].size + 8
				if n > 0 && bytes > maxBytes {
					break
				}
				n++
			}
			s := statement{args: make([]any, 0, n*width)}
			for _, o := range ops[:n] {
				s.args = append(s.args, o.values...)
			}
			if kind == rowDelete {
				s.text = c.text.remove(n)
			} else {
				s.text = c.text.put(n, info != nil && info.otherUnique)
			}
			if !yield(s) {
				return
			}
			ops = ops[n:]
		}
	}
}

// order sorts ops by key, so that transactions of several partitions that share keys lock them in one order. Deletes come first, all in
// few statements, which is another order than that of a partition which puts those keys; once the database has given a transaction up
// for that, they have their place among the others (careful).
//
// To sort may be done only where the database tells keys apart exactly as we do. Where it may not (another case, 1 and "01"), two ops
// that we think are of different keys may be of one, and only the order of their offsets is right. Another unique index is such a tie
// between keys, too: a value may pass from one row to the next.
func order(ops []*op, info *tableInfo, careful bool) []*op {
	if info == nil || len(info.key) == 0 || info.otherUnique {
		return ops
	}
	for _, o := range ops {
		for i, v := range o.key {
			if !exact(info.key[i], v) {
				return ops
			}
		}
	}
	return slices.SortedStableFunc(slices.Values(ops), func(a, b *op) int {
		if !careful && a.kind != b.kind {
			return cmp.Compare(b.kind, a.kind)
		}
		for i := range a.key {
			if c := compareKey(a.key[i], b.key[i]); c != 0 {
				return c
			}
		}
		return 0
	})
}

func exact(kind keyKind, v any) bool {
	switch v := v.(type) {
	case int, int8, int16, int32, int64, uint8, uint16, uint32:
		return kind == keyInteger
	case string:
		return kind == keyText && !strings.HasSuffix(v, " ") // some databases ignore trailing spaces
	}
	return false
}

func compareKey(a, b any) int {
	if s, ok := a.(string); ok {
		t, _ := b.(string)
		return strings.Compare(s, t)
	}
	return cmp.Compare(integer(a), integer(b))
}

func integer(v any) int64 {
	rv := reflect.ValueOf(v)
	if rv.CanInt() {
		return rv.Int()
	}
	return int64(rv.Uint()) // exact allows no uint64
}
