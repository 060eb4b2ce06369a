package sqlsink

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the limits, a plan writes each op once, keeps to them, and keeps the order that counts.
func TestPlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(dialects()).Draw(t, "dialect")
		s := settings{
			base: base{dialect: d.impl, offsets: tableName{name: "o"}}, table: tableName{name: "t"}, mode: Upsert,
			columns: []Column{{Name: "k"}, {Name: "v"}}, key: []int{0},
		}
		c := &core{settings: s, text: newStatements(&s)}
		kind := rapid.SampledFrom([]keyKind{keyInexact, keyText}).Draw(t, "kind")
		info := &tableInfo{key: []keyKind{kind}, otherUnique: rapid.Bool().Draw(t, "other")}
		c.table.Store(info)
		free := info.key[0] == keyText && !info.otherUnique
		careful := rapid.Bool().Draw(t, "careful")
		c.careful.Store(careful)
		maxRows := rapid.IntRange(1, 50).Draw(t, "maxRows")
		packet := rapid.SampledFrom([]int{0, 1000, 5000}).Draw(t, "packet")
		var ops []*op
		for i := range rapid.IntRange(0, 200).Draw(t, "n") {
			row := Put(fmt.Sprint("k", i*7919%1000), strings.Repeat("x", rapid.IntRange(0, 900).Draw(t, "size")))
			if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
				row = Delete(row.values[0])
			}
			o, err := s.newOp(i, row)
			if err != nil {
				t.Fatal(err)
			}
			ops = append(ops, o)
		}
		var got, keys []string
		for st := range c.plan(ops, maxRows, packet) {
			width, del := 2, strings.HasPrefix(st.text, "delete")
			if del {
				width = 1
			}
			n := len(st.args) / width
			if n == 0 || n > maxRows || len(st.args) > d.impl.maxParams() {
				t.Fatalf("a statement with %d rows, %d arguments", n, len(st.args))
			}
			if careful && del && n > 1 {
				t.Fatalf("%d rows in a careful delete", n)
			}
			bytes := len(st.text)
			for i, a := range st.args {
				bytes += len(fmt.Sprint(a))
				if i%width == 0 {
					got, keys = append(got, fmt.Sprint(del, a)), append(keys, fmt.Sprint(a))
				}
			}
			if packet > 0 && n > 1 && bytes > packet {
				t.Fatalf("%d rows in a statement of %d bytes, the limit is %d", n, bytes, packet)
			}
		}
		var want []string
		for _, o := range order(ops, info, careful) {
			want = append(want, fmt.Sprint(o.kind == rowDelete, o.key[0]))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		if free && careful && !slices.IsSorted(keys) {
			t.Fatalf("not in the order of keys: %v", keys)
		}
		if !free {
			for i, o := range ops {
				if got[i] != fmt.Sprint(o.kind == rowDelete, o.key[0]) {
					t.Fatalf("not in offset order, although the database may take keys for the same that we do not")
				}
			}
		}
	})
}
