package sluice_test

import (
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/engine"
)

// numbered gives each number of a struct another value, and returns them by their fields' names.
func numbered(t *testing.T, v any) map[string]int64 {
	t.Helper()
	values := make(map[string]int64)
	var walk func(reflect.Value)
	walk = func(s reflect.Value) {
		for i := range s.NumField() {
			f := s.Field(i)
			switch {
			case !s.Type().Field(i).IsExported():
			case s.Type().Field(i).Anonymous:
				walk(f)
			case f.CanInt():
				f.SetInt(int64(len(values) + 1))
				values[s.Type().Field(i).Name] = f.Int()
			}
		}
	}
	walk(reflect.ValueOf(v).Elem())
	return values
}

// Each counter of the engine is told under its own name.
func TestTotalsAreThoseOfTheEngine(t *testing.T) {
	t.Parallel()
	var of engine.TopicTotals
	want := numbered(t, &of)
	want["Lost"] = want["LostRecords"]
	delete(want, "LostRecords")
	for class := range of.Failed {
		of.Failed[class] = int64(100 + class)
	}
	of.Handling.Add(time.Second)
	from := engine.Totals{Topics: map[string]*engine.TopicTotals{"b": &of, "a": {}}, LastCommit: time.Unix(1, 0)}
	for why := range from.Rebalances {
		from.Rebalances[why] = int64(200 + why)
	}
	from.Commits.Add(2 * time.Second)
	from.RebalanceTime[engine.CameIn].Add(3 * time.Second)
	from.RebalanceTime[engine.AskedFor].Add(4 * time.Second)
	got := sluice.TotalsOf(from)
	if len(got.Topics) != 2 || got.Topics[0].Topic != "a" {
		t.Fatalf("%+v", got)
	}
	topic := reflect.ValueOf(got.Topics[1])
	for name, n := range want {
		if f := topic.FieldByName(name); !f.IsValid() || f.Int() != n {
			t.Errorf("%s is %v, want %d", name, f, n)
		}
	}
	for class, name := range engine.FailureClasses {
		if n := got.Topics[1].Failed[name]; n != int64(100+class) {
			t.Errorf("failed by %s: %d", name, n)
		}
	}
	for why, name := range engine.Rebalances {
		if n := got.Rebalances[name]; n != int64(200+why) {
			t.Errorf("%s: %d rebalances", name, n)
		}
	}
	for name, d := range map[string]struct {
		got  sluice.Distribution
		want time.Duration
	}{
		"handling": {got.Topics[1].Handling, time.Second}, "commits": {got.Commits, 2 * time.Second},
		"assigning": {got.Assigning, 3 * time.Second}, "revoking": {got.Revoking, 4 * time.Second},
	} {
		if d.got.Count != 1 || d.got.Sum != d.want || sumOf(d.got.Within) != 1 || len(d.got.Fine) != 1 {
			t.Errorf("%s: %+v", name, d.got)
		}
	}
	if !got.LastCommit.Equal(from.LastCommit) {
		t.Errorf("the last commit was at %v", got.LastCommit)
	}
}

func sumOf(of []int64) (n int64) {
	for _, v := range of {
		n += v
	}
	return n
}

// What the client tells of a request, a batch and a connection is counted where it belongs.
func TestTrafficIsWhatTheClientTells(t *testing.T) {
	t.Parallel()
	var w engine.Wire
	broker := kgo.BrokerMetadata{}
	for range 3 {
		w.OnBrokerE2E(broker, int16(kmsg.Fetch), kgo.BrokerE2E{
			BytesWritten: 10, BytesRead: 200, WriteWait: time.Hour, TimeToWrite: 1, ReadWait: 2, TimeToRead: 3,
		})
	}
	w.OnBrokerE2E(broker, int16(kmsg.Fetch), kgo.BrokerE2E{BytesWritten: 10, ReadErr: io.EOF})
	w.OnBrokerE2E(broker, int16(kmsg.OffsetCommit), kgo.BrokerE2E{WriteErr: io.EOF})
	for range 2 {
		w.OnFetchBatchRead(broker, "orders", 0, kgo.FetchBatchMetrics{NumRecords: 5, CompressedBytes: 50, UncompressedBytes: 500})
	}
	w.OnProduceBatchWritten(broker, "orders", 0, kgo.ProduceBatchMetrics{NumRecords: 7, CompressedBytes: 70, UncompressedBytes: 700})
	for i := range 5 {
		w.OnBrokerConnect(broker, time.Second, nil, map[bool]error{true: io.EOF}[i < 2])
	}
	w.OnBrokerDisconnect(broker, nil)
	w.OnBrokerThrottle(broker, 8*time.Second, false)
	w.OnBrokerThrottle(broker, time.Second, true)
	want := sluice.Traffic{
		Requests: []sluice.RequestTraffic{
			{Kind: "Fetch", Count: 4, Failed: 1, Written: 40, Read: 600, Took: 3 * (1 + 2 + 3)},
			{Kind: "OffsetCommit", Count: 1, Failed: 1},
		},
		Fetched:  sluice.BatchTraffic{Batches: 2, Records: 10, Bytes: 100, Uncompressed: 1000},
		Produced: sluice.BatchTraffic{Batches: 1, Records: 7, Bytes: 70, Uncompressed: 700},
		Connects: 5, ConnectsFailed: 2, Disconnects: 1, Throttled: 9 * time.Second,
	}
	if got := sluice.TrafficOf(&w); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
