package engine

import (
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A search takes about as many transactions as the number of records has bits, wherever the one is that is looked for.
func TestInvariant12ASearchHalvesWhatIsLeft(t *testing.T) {
	refused := fmt.Errorf("write: %w", kerr.InvalidRecord)
	for _, n := range []int{1, 2, 3, 100, 500, 1000} {
		for at := range n {
			p, left, transactions := pace{limit: n}, n, 0
			for found := false; !found; transactions++ {
				took := min(p.limit, left)
				if took == 0 {
					t.Fatalf("%d of %d is not found: %+v", at, n, p)
				}
				now := time.Now()
				end := &transaction{began: now, deadline: now.Add(time.Minute), sole: p.limit == 1, polled: took}
				bad := at < n-left+took
				found = bad && end.sole
				switch {
				case found:
					end.blamed = true
					p.after(end, false, false, refused)
				case bad:
					p.after(end, false, false, refused)
				default:
					left -= took
					p.after(end, true, false, nil)
				}
				if transactions > 2+bits.Len(uint(n)) {
					t.Fatalf("invariant 12: %d of %d: %d transactions, and it is not found: %+v", at, n, transactions, p)
				}
			}
			if p.suspect != 0 {
				t.Errorf("it goes on: %+v", p)
			}
		}
	}
}

// In an outage that failures show, the next transaction may need others, or be as small as can be finished in time. Either is tried, also
// where one of the next records is looked for; but nothing is added to a search that goes on.
func TestInvariant12AnOutageMayNeedOthersOrLess(t *testing.T) {
	const needs = 11
	for name, test := range map[string]struct {
		pace pace
		ends func(took int) bool // in time
	}{
		"less":                 {pace{limit: firstLimit}, func(took int) bool { return took <= 4 }},
		"less than it needs":   {pace{limit: 2 * needs}, func(took int) bool { return took < needs }},
		"others":               {pace{limit: 1}, func(took int) bool { return took >= needs }},
		"others, in a search":  {pace{limit: 1, suspect: 1}, func(took int) bool { return took >= needs }},
		"others, in the midst": {pace{limit: 4, suspect: 8}, func(took int) bool { return took >= needs }},
	} {
		p, over := test.pace, false
		for n := 0; n < 20 && !over; n++ {
			took := p.next(needs)
			over = test.ends(took)
			end := &transaction{began: time.Now().Add(-time.Minute), deadline: time.Now().Add(-time.Second), polled: took}
			p.after(end, over, false, errDeadline)
		}
		if !over {
			t.Errorf("invariant 12: %s: nothing ends: %+v", name, p)
		}
	}
	p := pace{limit: firstLimit}
	for n := 0; p.limit > 1 && n < 20; n++ {
		now := time.Now()
		p.after(&transaction{began: now, deadline: now.Add(time.Minute), polled: p.next(needs)}, false, false, kerr.InvalidRecord)
	}
	if took := p.next(needs); took != 1 {
		t.Errorf("invariant 12: a search takes %d", took)
	}
}
