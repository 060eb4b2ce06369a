package engine

import (
	"maps"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Wire counts what clients and brokers exchange: give it to kgo.WithHooks. Several clients may share one. It costs a lock a request and
// one a batch, and nothing a record.
type Wire struct {
	mu      sync.Mutex
	traffic Traffic
}

// Traffic is what a Wire has counted.
type Traffic struct {
	Requests          map[int16]Requests // by their keys in Kafka's protocol
	Fetched, Produced Batches
	Connects          int64
	ConnectsFailed    int64
	Disconnects       int64
	Throttled         time.Duration
}

// Requests are those of one kind, with their answers.
type Requests struct {
	Count, Failed int64 // each is in Count
	Written, Read int64 // bytes
	Took          time.Duration
}

// Batches are batches of records.
type Batches struct {
	Batches, Records    int64
	Bytes, Uncompressed int64
}

// Traffic returns what was counted until now.
func (w *Wire) Traffic() Traffic {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.traffic
	t.Requests = maps.Clone(t.Requests)
	return t
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (w *Wire) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.traffic.Requests == nil {
		w.traffic.Requests = make(map[int16]Requests)
	}
	r := w.traffic.Requests[key]
	r.Count++
	if e2e.Err() != nil {
		r.Failed++
	}
	r.Written += int64(e2e.BytesWritten)
	r.Read += int64(e2e.BytesRead)
	r.Took += e2e.DurationE2E()
	w.traffic.Requests[key] = r
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (w *Wire) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traffic.Fetched.add(m.NumRecords, m.CompressedBytes, m.UncompressedBytes)
}

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (w *Wire) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traffic.Produced.add(m.NumRecords, m.CompressedBytes, m.UncompressedBytes)
}

func (b *Batches) add(records, compressed, uncompressed int) {
	b.Batches++
	b.Records += int64(records)
	b.Bytes += int64(compressed)
	b.Uncompressed += int64(uncompressed)
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (w *Wire) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traffic.Connects++
	if err != nil {
		w.traffic.ConnectsFailed++
	}
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect.
func (w *Wire) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traffic.Disconnects++
}

// OnBrokerThrottle implements kgo.HookBrokerThrottle.
func (w *Wire) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, _ bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traffic.Throttled += d
}
