package sluice_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// murmur2OfJava are results of org.apache.kafka.common.utils.Utils.murmur2; test/producer compares with the jar itself.
var murmur2OfJava = map[string]int32{
	"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
	"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
}

// place sends records in one call and returns the partition of each.
func place(t *testing.T, c *bubble.Cluster, partitioner sluice.Partitioner, rs []*kgo.Record) []int32 {
	t.Helper()
	cfg := configFor(t, c, nil).Producer()
	cfg.Partitioner = partitioner
	cfg.Linger = 100 * time.Millisecond // virtual: they meet in as few batches as they can
	p := newProducer(t, cfg)
	if err := p.Send(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out []int32
	for _, r := range rs {
		out = append(out, r.Partition)
	}
	return out
}

func TestMurmur2PutsKeysWhereJavaDoes(t *testing.T) {
	const partitions = 97
	bubble.Run(t, map[string]int32{"orders": partitions}, func(t *testing.T, c *bubble.Cluster) {
		var rs []*kgo.Record
		var want []int32
		for key, hash := range murmur2OfJava {
			rs = append(rs, &kgo.Record{Topic: "orders", Key: []byte(key)})
			want = append(want, hash&0x7fffffff%partitions)
		}
		rs = append(rs, &kgo.Record{Topic: "orders", Key: []byte{}}) // not null: hashed
		want = append(want, 275646681&0x7fffffff%partitions)
		if got := place(t, c, "", rs); !slices.Equal(got, want) {
			t.Errorf("partitions %v, want %v", got, want)
		}
		for _, r := range c.Read("orders") {
			if hash, ok := murmur2OfJava[string(r.Key)]; ok && r.Partition != hash&0x7fffffff%partitions {
				t.Errorf("%s lies in %d", r.Key, r.Partition)
			}
		}
	})
}

func TestPartitioners(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 6}, func(t *testing.T, c *bubble.Cluster) {
		records := func(keys bool) []*kgo.Record {
			var rs []*kgo.Record
			for i := range 60 {
				r := &kgo.Record{Topic: "orders", Value: []byte(strconv.Itoa(i)), Partition: int32(5 - i%6)}
				if keys {
					r.Key = fmt.Appendf(nil, "k%d", i%10)
				}
				rs = append(rs, r)
			}
			return rs
		}
		// A run of the sticky ones lies in few partitions, as a batch has one; all else spreads over six.
		if got := distinct(place(t, c, sluice.Murmur2, records(false))); got > 2 {
			t.Errorf("records without a key in %d partitions", got)
		}
		if got := distinct(place(t, c, sluice.StickyOnly, records(true))); got > 2 {
			t.Errorf("sticky: records in %d partitions", got)
		}
		got := place(t, c, sluice.RoundRobinRecords, records(true))
		for i, p := range got {
			if p != (got[0]+int32(i))%6 {
				t.Fatalf("round robin: %v", got)
			}
		}
		for i, p := range place(t, c, sluice.ManualPartition, records(true)) {
			if p != int32(5-i%6) {
				t.Fatalf("manual: record %d lies in %d", i, p)
			}
		}
	})
}

func distinct(partitions []int32) int {
	partitions = slices.Sorted(slices.Values(partitions))
	return len(slices.Compact(partitions))
}

func TestAPartitionThatIsNotThereFailsItsRecordAlone(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		cfg := configFor(t, c, nil).Producer()
		cfg.Partitioner = sluice.ManualPartition
		p := newProducer(t, cfg)
		defer closeProducer(t, p)
		err := p.Send(t.Context(), textRecord("orders", "a"), &kgo.Record{Topic: "orders", Partition: 7}, textRecord("orders", "b"))
		failed := failures(t, err)
		if len(failed) != 1 || failed[0].Index != 1 || failed[0].Partition != 7 || !strings.Contains(err.Error(), "choice of 7 from 2") {
			t.Errorf("%v", err)
		}
		if n := len(c.Read("orders")); n != 2 {
			t.Errorf("%d records were written, want 2", n)
		}
	})
}
