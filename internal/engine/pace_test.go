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
