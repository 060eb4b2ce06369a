package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// What remains is what lies between the commits and the bounds, whoever commits; empty partitions need no commit.
func TestRemaining(t *testing.T) {
	t.Parallel()
	cluster, err := Embedded("127.0.0.1:0", NewTopic{"orders", 3})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := NewClient(t.Context(), sluice.Config{Brokers: cluster.ListenAddrs()}, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, partition := range []int32{0, 0, 0, 1, 1} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: partition}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cluster.DeleteRecords("orders", 1, 2); err != nil { // all of it
		t.Fatal(err)
	}
	bounds, err := ReadBounds(t.Context(), admin, false, "orders")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Bound{2, 2}); bounds["orders"][1] != want {
		t.Errorf("partition 1 is %+v, want %+v", bounds["orders"][1], want)
	}
	for _, step := range []struct{ commit, left int64 }{{-1, 3}, {1, 2}, {3, 0}, {7, 0}} {
		if step.commit >= 0 {
			var offsets kadm.Offsets
			offsets.Add(kadm.Offset{Topic: "orders", Partition: 0, At: step.commit})
			if err := admin.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
				t.Fatal(err)
			}
		}
		if left, err := Remaining(t.Context(), admin, "g", bounds); err != nil || left != step.left {
			t.Errorf("with %d committed %d remain, %v; want %d", step.commit, left, err, step.left)
		}
	}
	if _, err := Topic(t.Context(), admin, "none"); err == nil {
		t.Error("a missing topic is found")
	}
	if partitions, err := Topic(t.Context(), admin, "orders"); err != nil || len(partitions) != 3 {
		t.Errorf("partitions %v, %v", partitions, err)
	}
}
