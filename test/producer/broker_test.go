package producer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

func newProducer(t *testing.T, cfg sluice.ProducerConfig) *sluice.Producer {
	t.Helper()
	p, err := sluice.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A broker that is killed under load, twice, and restarted, costs neither a record nor its order, and writes none twice.
func TestABrokerThatIsKilledCostsNoRecordAndNoOrder(t *testing.T) {
	k := servers.Kafka(t)
	topic := newTopic(t, k, 6, nil)
	p := newProducer(t, sluice.ProducerConfig{Brokers: k.Seeds(), DeliveryTimeout: 2 * time.Minute, Linger: time.Millisecond})
	var mu sync.Mutex
	all, total := ledger{}, 0
	acknowledged := func() int { mu.Lock(); defer mu.Unlock(); return total }
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for key := range 10 {
					r := &kgo.Record{Topic: topic, Key: []byte(strconv.Itoa(w) + "-" + strconv.Itoa(key)), Value: []byte(strconv.Itoa(n))}
					p.Enqueue(context.Background(), r, func(r *kgo.Record, err error) {
						if err != nil {
							t.Errorf("%s/%s: %v", r.Key, r.Value, err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						all[string(r.Key)]++
						total++
					})
				}
			}
		})
	}
	for range 3 {
		before := acknowledged()
		await(t, "20,000 further acknowledgements", func() bool { return acknowledged() >= before+20_000 })
		k.Kill(t)
		k.Restart(t)
	}
	before := acknowledged()
	await(t, "acknowledgements after the last restart", func() bool { return acknowledged() > before })
	close(stop)
	writers.Wait()
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	records := readAll(t, k, topic)
	if len(records) != acknowledged() {
		t.Errorf("%d records are in the log, and %d were acknowledged", len(records), acknowledged())
	}
	all.check(t, records)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited two minutes for: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// What is wrong with one record is told of that record, by the broker too.
func TestARecordThatIsRefusedSaysSo(t *testing.T) {
	k := servers.Kafka(t)
	small := "2000"
	topic, narrow := newTopic(t, k, 1, nil), newTopic(t, k, 1, map[string]*string{"max.message.bytes": &small})
	p := newProducer(t, sluice.ProducerConfig{Brokers: k.Seeds()})
	began := time.Now()
	err := p.Send(t.Context(),
		&kgo.Record{Topic: topic, Value: []byte("a")},
		&kgo.Record{Topic: topic + "-not", Value: []byte("b")},
		&kgo.Record{Topic: topic, Value: make([]byte, 2<<20)},
		&kgo.Record{Topic: narrow, Value: make([]byte, 3000)},
		&kgo.Record{Topic: topic, Value: []byte("c")},
	)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	want := map[int]struct {
		is   error
		text string
	}{
		1: {sluice.ErrUnknownTopic, "the topic does not exist"},
		2: {sluice.ErrTooLarge, "bytes in a batch of its own, and 1000000 are allowed"},
		3: {sluice.ErrTooLarge, "lower BatchBytes (batch.size) to the topic's max.message.bytes"},
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatal(err)
	}
	for _, e := range joined.Unwrap() {
		failed, _ := errors.AsType[*sluice.ProduceError](e)
		if w, ok := want[failed.Index]; !ok || !errors.Is(e, w.is) || !strings.Contains(e.Error(), w.text) {
			t.Errorf("%v", e)
		}
		delete(want, failed.Index)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(readAll(t, k, topic)); n != 2 {
		t.Errorf("%d records were written beside them, want 2", n)
	}
}

// A full buffer on a broker that does not answer: bounded, and over when the broker is back.
func TestABrokerThatStopsFillsTheBufferAndNoMore(t *testing.T) {
	k := servers.Kafka(t)
	topic := newTopic(t, k, 1, nil)
	p := newProducer(t, sluice.ProducerConfig{Brokers: k.Seeds(), DeliveryTimeout: 2 * time.Minute, MaxBufferedBytes: 1 << 20})
	if err := p.Send(t.Context(), &kgo.Record{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	k.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	taken, full := 0, false
	for !full && taken < 10_000 {
		refused := make(chan error, 1)
		began := time.Now()
		p.Enqueue(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 1000)}, func(_ *kgo.Record, err error) { refused <- err })
		if full = time.Since(began) > time.Second; full {
			if err := <-refused; !errors.Is(err, sluice.ErrBufferFull) {
				t.Errorf("the one that had no room: %v", err)
			}
			continue
		}
		taken++
	}
	if taken != 1<<20/1200 {
		t.Errorf("%d records of 1,200 bytes went into 1 MiB", taken)
	}
	k.Restart(t)
	if err := p.Send(t.Context(), &kgo.Record{Topic: topic}); err != nil {
		t.Error(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
