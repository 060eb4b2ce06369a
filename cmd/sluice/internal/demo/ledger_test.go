package demo

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// The count must find every kind of mistake, or "0 lost, 0 duplicated" says nothing.
func TestTally(t *testing.T) {
	t.Parallel()
	acked := map[place]int64{{0, 0}: 1, {0, 1}: 2, {1, 0}: 3, {1, 1}: poisonEvery}
	good := []row{{place{0, 0}, 1}, {place{0, 1}, 2}, {place{1, 0}, 3}}
	for name, test := range map[string]struct {
		rows []row
		dead []place
		want Count
		good bool
	}{
		"all is well":               {good, []place{{1, 1}}, Count{4, 3, 1, 0, 0, 0}, true},
		"a dead letter twice":       {good, []place{{1, 1}, {1, 1}}, Count{4, 3, 1, 0, 0, 0}, true},
		"a lost one":                {good[1:], []place{{1, 1}}, Count{4, 2, 1, 1, 0, 0}, false},
		"a lost dead letter":        {good, nil, Count{4, 3, 0, 1, 0, 0}, false},
		"a row twice":               {append(good[:3:3], good[0]), []place{{1, 1}}, Count{4, 4, 1, 0, 1, 0}, false},
		"a row and a dead letter":   {good, []place{{1, 1}, {0, 0}}, Count{4, 3, 2, 0, 1, 1}, false},
		"a good one buried":         {good[1:], []place{{1, 1}, {0, 0}}, Count{4, 2, 2, 0, 0, 1}, false},
		"a poison one written":      {append(good[:3:3], row{place{1, 1}, poisonEvery}), nil, Count{4, 4, 0, 0, 0, 1}, false},
		"one twice and one lost":    {[]row{good[0], good[0], good[1]}, []place{{1, 1}}, Count{4, 3, 1, 1, 1, 0}, false},
		"an id at another place":    {append(good[:2:2], row{place{1, 0}, 2}), []place{{1, 1}}, Count{4, 3, 1, 0, 1, 1}, false},
		"a row of nobody":           {append(good[:3:3], row{place{9, 9}, 99}), []place{{1, 1}}, Count{4, 4, 1, 0, 0, 1}, false},
		"a dead letter of nobody":   {good, []place{{1, 1}, {9, 9}}, Count{4, 3, 2, 0, 0, 1}, false},
		"nothing at all was stored": {nil, nil, Count{4, 0, 0, 4, 0, 0}, false},
	} {
		got := tally(acked, test.rows, test.dead)
		if got != test.want || got.Good() != test.good {
			t.Errorf("%s: counted %+v, good is %v; want %+v, %v", name, got, got.Good(), test.want, test.good)
		}
	}
}

func TestSourceOf(t *testing.T) {
	t.Parallel()
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	r := &kgo.Record{Headers: []kgo.RecordHeader{
		header("other", "x"), header(sluice.HeaderOffset, "42"), header(sluice.HeaderPartition, "3"),
	}}
	if p, err := sourceOf(r); err != nil || p != (place{3, 42}) {
		t.Errorf("got %v, %v", p, err)
	}
	for _, bad := range [][]kgo.RecordHeader{nil, r.Headers[:2], {header(sluice.HeaderOffset, "x"), header(sluice.HeaderPartition, "3")}} {
		if p, err := sourceOf(&kgo.Record{Headers: bad}); err == nil {
			t.Errorf("%v: got %v, want an error", bad, p)
		}
	}
}

// One order in a hundred is poison, of each kind in turn; all others are what the table takes.
func TestOrders(t *testing.T) {
	t.Parallel()
	for id, want := range map[int64]string{
		1:   `{"id":1,"customer":"customer-1","amount":1.01}`,
		99:  `{"id":99,"customer":"customer-99","amount":99.99}`,
		100: `{"id":100,"customer":null,"amount":1.00}`,
		300: `{"id":300,"customer":"c","amount":-1.00}`,
		400: `{"id":400,"customer":"cut o`,
	} {
		if got := string(order("t", id).Value); got != want {
			t.Errorf("order %d is %s, want %s", id, got, want)
		}
	}
}
