package monitor

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// batchOf is a batch as its header describes it, with a body of some bytes.
func batchOf(first, last, producer int64, attributes uint16) []byte {
	b := make([]byte, batchHeader+7)
	binary.BigEndian.PutUint64(b, uint64(first))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], attributes)
	binary.BigEndian.PutUint32(b[23:], uint32(last-first))
	binary.BigEndian.PutUint64(b[43:], uint64(producer))
	return b
}

// What a tail holds is what was written to it: random transactions of three producers, and records outside of any.
func TestHollowTails(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var log []byte
		var aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
		type open struct {
			first int64
			begun bool
		}
		var producers [3]open
		var records []int64 // the ends of committed batches
		var pending [3][]int64
		from := rapid.Int64Range(0, 1_000).Draw(t, "from")
		end := from
		for range rapid.IntRange(0, 40).Draw(t, "batches") {
			p := rapid.IntRange(0, 3).Draw(t, "producer")
			last := end + rapid.Int64Range(0, 5).Draw(t, "more")
			switch {
			case p == 3: // no producer of transactions
				log = append(log, batchOf(end, last, -1, 0)...)
				records = append(records, last+1)
			case producers[p].begun && rapid.Bool().Draw(t, "ends"):
				last = end
				log = append(log, batchOf(end, end, int64(p), 1<<4|1<<5)...)
				if rapid.Bool().Draw(t, "aborts") {
					abort := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
					abort.ProducerID, abort.FirstOffset = int64(p), producers[p].first
					aborted = append(aborted, abort)
				} else {
					records = append(records, pending[p]...)
				}
				producers[p], pending[p] = open{}, nil
			default:
				if !producers[p].begun {
					producers[p] = open{first: end, begun: true}
				}
				log = append(log, batchOf(end, last, int64(p), 1<<4)...)
				pending[p] = append(pending[p], last+1)
			}
			end = last + 1
		}
		for p := range producers { // the last stable offset is after all of them
			if producers[p].begun {
				log = append(log, batchOf(end, end, int64(p), 1<<4|1<<5)...)
				records = append(records, pending[p]...)
				end++
			}
		}
		want := from
		for _, r := range records {
			want = max(want, r)
		}
		if got := hollowFrom(log, aborted, from, end); got != want {
			t.Fatalf("hollow from %d, want %d of %d", got, want, end)
		}
		if len(log) > 0 {
			if got := hollowFrom(log[:len(log)-1], aborted, from, end); got != end {
				t.Fatalf("cut off: hollow from %d, want %d", got, end)
			}
		}
	})
}

func FuzzHollowTails(f *testing.F) {
	f.Add(batchOf(5, 9, 1, 1<<4), int64(5), int64(10))
	f.Fuzz(func(t *testing.T, log []byte, from, stable int64) {
		from, stable = min(from, stable), max(from, stable)
		if got := hollowFrom(log, nil, from, stable); got < from || got > stable {
			t.Errorf("%d is not between %d and %d", got, from, stable)
		}
	})
}
