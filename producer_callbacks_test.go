package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A callback may do what anybody may. The buffer is so small that each record has to wait for the one before.
func TestACallbackMayUseTheProducer(t *testing.T) {
	for name, use := range map[string]func(*sluice.Producer, *kgo.Record) error{
		"Enqueue": func(p *sluice.Producer, r *kgo.Record) error {
			p.Enqueue(context.Background(), r, func(*kgo.Record, error) {})
			return nil
		},
		"Send":  func(p *sluice.Producer, r *kgo.Record) error { return p.Send(context.Background(), r) },
		"Flush": func(p *sluice.Producer, _ *kgo.Record) error { return p.Flush(context.Background()) },
		"all": func(p *sluice.Producer, r *kgo.Record) error {
			p.Enqueue(context.Background(), r, nil)
			return errors.Join(p.Send(context.Background(), textRecord("orders", "more")), p.Flush(context.Background()), p.Ping(context.Background()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				cfg := configFor(t, c, nil).Producer()
				cfg.MaxRequestBytes, cfg.MaxBufferedBytes = 4_000, 4_000
				p := newProducer(t, cfg)
				called := 0
				for range 50 {
					p.Enqueue(context.Background(), textRecord("orders", strings.Repeat("x", 3_000)), func(_ *kgo.Record, err error) {
						called++
						err = errors.Join(err, use(p, textRecord("orders", strings.Repeat("y", 3_000))))
						if err != nil {
							t.Error(err)
						}
					})
				}
				if err := p.Flush(t.Context()); err != nil { // what callbacks send while it closes, a producer refuses
					t.Error(err)
				}
				closeProducer(t, p)
				if called != 50 {
					t.Errorf("%d callbacks were called", called)
				}
				if used, _ := p.Used(); used != 0 {
					t.Errorf("%d bytes are still taken", used)
				}
			})
		})
	}
}

func TestACallbackMayClose(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for range 20 {
			p := newProducer(t, configFor(t, c, nil).Producer())
			var called, closed atomic.Int64
			for i := range 100 {
				p.Enqueue(context.Background(), textRecord("orders", strconv.Itoa(i)), func(_ *kgo.Record, err error) {
					if err != nil && !errors.Is(err, sluice.ErrClosed) {
						t.Error(err)
					}
					called.Add(1)
					if i%10 == 3 {
						if err := p.Close(context.Background()); err != nil {
							t.Error(err)
						}
						closed.Add(1)
					}
				})
			}
			c.Until("all are called", func() bool { return called.Load() == 100 && closed.Load() == 10 })
			closeProducer(t, p)
		}
	})
}

func TestCallbacksComeOneAfterTheOtherInOrder(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		cfg := configFor(t, c, nil).Producer()
		cfg.Partitioner = sluice.ManualPartition
		p := newProducer(t, cfg)
		last, running := map[int32]int{}, 0
		cancellable, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := 1; i <= 3000; i++ {
			ctx := context.Background()
			if i%3 == 0 {
				ctx = cancellable
			}
			r := &kgo.Record{Topic: "orders", Partition: int32(i * i % 3)}
			p.Enqueue(ctx, r, func(r *kgo.Record, err error) {
				running++
				if running != 1 || err != nil || i <= last[r.Partition] {
					t.Errorf("record %d of partition %d after %d, %d callbacks run: %v", i, r.Partition, last[r.Partition], running, err)
				}
				last[r.Partition] = i
				runtime.Gosched()
				running--
			})
		}
		closeProducer(t, p)
		if len(last) != 2 && len(last) != 3 {
			t.Errorf("%v", last)
		}
	})
}

func TestACallbackThatEndsItsGoroutineStopsNoOther(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		called := 0
		for i := range 100 {
			p.Enqueue(context.Background(), textRecord("orders", "x"), func(*kgo.Record, error) {
				called++
				if i%10 == 0 {
					runtime.Goexit() // as t.FailNow does
				}
			})
		}
		closeProducer(t, p)
		if used, _ := p.Used(); called != 100 || used != 0 {
			t.Errorf("%d callbacks were called, %d bytes are taken", called, used)
		}
	})
}

// A panic is nobody's to swallow: the program ends, and says where.
func TestACallbackThatPanicsEndsTheProgram(t *testing.T) {
	const variable = "SLUICE_TEST_PANIC"
	if os.Getenv(variable) != "" {
		p := newProducer(t, sluice.ProducerConfig{Brokers: []string{"127.0.0.1:1"}, DeliveryTimeout: time.Millisecond})
		p.Enqueue(context.Background(), textRecord("orders", "x"), func(*kgo.Record, error) { panic("in a callback") })
		_ = p.Flush(context.Background())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: in a callback") || !strings.Contains(string(out), "producer_callbacks_test.go") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFailuresThatNobodyWasToldOfAreToldByFlushAndClose(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: 2})
		for range 2 {
			p.Enqueue(t.Context(), textRecord("orders", "x"), nil)
			err := p.Flush(t.Context())
			if !errors.Is(err, kerr.InvalidRecord) || !strings.Contains(fmt.Sprint(err), "flush: 1 records without a callback failed, the first: record for topic orders") {
				t.Errorf("Flush: %v", err)
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("told twice: %v", err)
		}
		p.Enqueue(t.Context(), &kgo.Record{}, nil)
		if err := p.Close(t.Context()); !errors.Is(err, sluice.ErrUnknownTopic) {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestFlushWaitsForWhatCameBeforeItAlone(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		stop := make(chan struct{})
		ended := make(chan struct{})
		go func() { // there is always something under way
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				default:
					p.Enqueue(context.Background(), textRecord("orders", "x"), nil)
					time.Sleep(time.Microsecond) // virtual
				}
			}
		}()
		for range 20 {
			called := false
			p.Enqueue(context.Background(), textRecord("orders", "x"), func(*kgo.Record, error) { called = true })
			if err := p.Flush(t.Context()); err != nil || !called {
				t.Fatalf("%v; called: %t", err, called)
			}
		}
		close(stop)
		<-ended
		closeProducer(t, p)
	})
}
