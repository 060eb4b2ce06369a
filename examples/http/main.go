// Command http calls a slow HTTP service for every order: a customer's orders one after the other, those of many customers at
// once, far beyond the number of partitions. A call that fails is tried again and holds up its customer only; an order that the
// service refuses goes to the dead letter topic. The service is a part of this program.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-go/sluice"
)

// Order is what a record holds.
type Order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Amount   int64  `json:"amount"`
}

func main() {
	topic := flag.String("topic", "orders", "topic, which must exist")
	dead := flag.String("dead", "orders.dlq", "topic of dead letters, which must exist")
	group := flag.String("group", "charging", "consumer group")
	count := flag.Int64("n", 2000, "orders to handle before it ends; -1: until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := charge(ctx, *topic, *dead, *group, *count)
	stop()
	if err != nil {
		slog.Error("http", "err", err)
		os.Exit(1)
	}
}

func charge(ctx context.Context, topic, dead, group string, count int64) error {
	service, err := startService(ctx)
	if err != nil {
		return err
	}
	defer service.stop()
	app, err := sluice.New(sluice.Config{
		Brokers: strings.Split(cmp.Or(os.Getenv("KAFKA_BROKERS"), "localhost:9092"), ","), Group: group,
	})
	if err != nil {
		return err
	}
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64}, // one for each worker
	}
	if err := sluice.Add(app, charging(topic, dead, client, service.url)); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	go func() {
		for ctx.Err() == nil && (count < 0 || app.Stats().Finished < count) {
			time.Sleep(5 * time.Millisecond)
		}
		stop()
	}()
	err = app.Run(ctx)
	s := app.Stats()
	fmt.Printf("%d orders in %.1f s: %d charged, %d dead letters; %d calls failed and were tried again or given up\n",
		s.Finished, time.Since(began).Seconds(), service.charged.Load(), s.DeadLettered, s.Failed)
	fmt.Printf("up to %d calls at once, %d out of order\n", service.most.Load(), service.disorder.Load())
	return err
}

// charging is the route; main_test.go tests it without a broker.
func charging(topic, dead string, client *http.Client, url string) sluice.Route[Order] {
	return sluice.Route[Order]{
		Topics: []string{topic}, Decode: sluice.JSON[Order],
		Handle: func(ctx context.Context, m sluice.Message[Order]) error { return call(ctx, client, url, m) },
		Policy: sluice.Policy{
			Ordering:  sluice.ByKey,
			Workers:   64,
			Retry:     sluice.Retry{MaxAttempts: 5, Backoff: 50 * time.Millisecond},
			OnFailure: sluice.DeadLetter{Topic: dead},
		},
	}
}

// call charges one order. The order's ID lets the service see a call that comes again.
func call(ctx context.Context, client *http.Client, url string, m sluice.Message[Order]) error {
	body, err := json.Marshal(m.Value)
	if err != nil {
		return sluice.Poison(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return sluice.Poison(err)
	}
	req.Header.Set("Idempotency-Key", m.ID())
	resp, err := client.Do(req)
	if err != nil {
		return sluice.Outage(err) // the service is away: wait for it, dead-letter nothing
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	switch {
	case resp.StatusCode < http.StatusMultipleChoices:
		return nil
	case resp.StatusCode == http.StatusTooManyRequests:
		return sluice.RetryAfter(errors.New(resp.Status), time.Second)
	case resp.StatusCode < http.StatusInternalServerError:
		return sluice.Poison(fmt.Errorf("the service refuses order %d: %s", m.Value.ID, resp.Status))
	}
	return errors.New(resp.Status) // tried again
}

// service takes 20 ms a call, fails now and then, and refuses orders without an amount.
type service struct {
	url    string
	server *http.Server

	charged, running, most, disorder atomic.Int64

	mu    sync.Mutex
	calls map[string]int   // by idempotency key
	last  map[string]int64 // the last order of each customer
}

func startService(ctx context.Context) (*service, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &service{url: "http://" + l.Addr().String(), calls: map[string]int{}, last: map[string]int64{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
	go func() { _ = s.server.Serve(l) }() // until stop
	return s, nil
}

func (s *service) stop() { _ = s.server.Close() }

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n := s.running.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.running.Add(-1)
	time.Sleep(20 * time.Millisecond)
	var o Order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Amount <= 0 {
		http.Error(w, "no amount", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	s.calls[key]++
	if o.ID%97 == 0 && s.calls[key] == 1 {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	if last, ok := s.last[o.Customer]; ok && o.ID <= last {
		s.disorder.Add(1)
	}
	s.last[o.Customer] = o.ID
	s.charged.Add(1)
}
