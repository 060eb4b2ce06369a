package sqlsink

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// fakeTable refuses bad rows, and a key that it has already where it inserts.
type fakeTable struct {
	upsert bool
	bad    map[int]bool // by message
	keys   map[string]bool
	tries  int
}

func (f *fakeTable) try(ops []*op) error {
	f.tries++
	keys := maps.Clone(f.keys)
	for _, o := range ops {
		k := fmt.Sprint(o.key)
		if f.bad[o.message] {
			return &faultError{fmt.Errorf("message %d", o.message)}
		}
		if !f.upsert && keys[k] {
			return &faultError{fmt.Errorf("message %d: duplicate", o.message)}
		}
		keys[k] = true
	}
	f.keys = keys
	return nil
}

// culpritsModel goes record by record, which needs no cleverness.
func culpritsModel(ops []*op, f *fakeTable) map[int]bool {
	failed := map[int]bool{}
	if f.upsert {
		// From the end: the first good op of a key counts, every bad one after it is to blame.
		settled := map[string]bool{}
		for _, o := range slices.Backward(ops) {
			if settled[o.id] {
				continue
			}
			if f.bad[o.message] {
				failed[o.message] = true
			} else {
				settled[o.id] = true
			}
		}
		return failed
	}
	keys := map[string]bool{}
	for _, o := range ops {
		k := fmt.Sprint(o.key)
		if f.bad[o.message] || keys[k] {
			failed[o.message] = true
		} else {
			keys[k] = true
		}
	}
	return failed
}

func TestCulprits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		upsert := rapid.Bool().Draw(t, "upsert")
		n := rapid.IntRange(0, 300).Draw(t, "n")
		keys := rapid.IntRange(1, 400).Draw(t, "keys")
		one := rapid.SampledFrom([]int{2, 10, 100, 1000}).Draw(t, "one bad in")
		table := &fakeTable{upsert: upsert, bad: map[int]bool{}, keys: map[string]bool{}}
		var ops []*op
		for i := range n {
			key := rapid.IntRange(0, keys).Draw(t, "key")
			o := &op{message: i, kind: rowPut, key: []any{key}}
			if upsert {
				o.id = fmt.Sprint(key)
			}
			ops = append(ops, o)
			table.bad[i] = rapid.IntRange(0, one-1).Draw(t, "bad") == 0
		}
		failed, err := culprits(ops, table.try)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Sorted(maps.Keys(failed))
		want := slices.Sorted(maps.Keys(culpritsModel(ops, table)))
		if !slices.Equal(got, want) {
			t.Fatalf("blamed %v, want %v", got, want)
		}
		for i, err := range failed {
			if _, wrapped := errors.AsType[*faultError](err); wrapped || err == nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		// One look at everything, then at most two tries a level for each row to blame, and one more for each row exposed.
		levels := 1 + math.Ceil(math.Log2(float64(n+1)))
		if most := 1 + 2*float64(len(want))*(levels+1); float64(table.tries) > most {
			t.Fatalf("%d tries for %d rows to blame among %d, more than %v", table.tries, len(want), n, most)
		}
	})
}

func TestCulpritsGivesUpOnOtherErrors(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection lost")
	tries := 0
	failed, err := culprits([]*op{{message: 0}, {message: 1}, {message: 2}}, func(ops []*op) error {
		if tries++; tries > 2 {
			return gone
		}
		return &faultError{errors.New("some row")}
	})
	if !errors.Is(err, gone) || failed != nil {
		t.Errorf("%v, %v; a search that was cut short may blame nobody", failed, err)
	}
}
