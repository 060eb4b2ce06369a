// Command consumer handles a topic to its end within a budget, fails one record in twenty once, and tells its peak memory.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// standstill is how long nothing is handled at first, so that the budget is full.
const standstill = 3 * time.Second

var errOnce = errors.New("the first attempt fails")

func main() {
	brokers := flag.String("brokers", "", "brokers")
	topic := flag.String("topic", "", "topic")
	budget := flag.Int64("budget", 0, "MaxBufferedBytes")
	records := flag.Int64("records", 0, "records in the topic")
	flag.Parse()
	if err := run(strings.Split(*brokers, ","), *topic, *budget, *records); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(brokers []string, topic string, budget, records int64) error {
	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: topic, MaxBufferedBytes: budget})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	open, stop := context.WithTimeout(ctx, standstill)
	defer stop()
	var handled, retried, bytes atomic.Int64
	err = sluice.Add(app, sluice.Route[int]{
		Topics: []string{topic}, Decode: func(r *kgo.Record) (int, error) { return len(r.Value), nil },
		Handle: func(_ context.Context, m sluice.Message[int]) error {
			<-open.Done()
			if m.Attempt == 1 && m.Offset()%20 == 0 {
				return sluice.RetryAfter(errOnce, time.Second)
			}
			if m.Attempt > 1 {
				retried.Add(1)
			}
			bytes.Add(int64(m.Value))
			if handled.Add(1) == records {
				cancel()
			}
			return nil
		},
		Policy: sluice.Policy{Ordering: sluice.ByKey, Workers: 64},
	})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := app.Run(ctx); err != nil {
		return err
	}
	peak, err := peakMemory()
	if err != nil {
		return err
	}
	fmt.Printf("%d %d %d %d %d\n", handled.Load(), retried.Load(), bytes.Load(), peak, time.Since(began).Milliseconds())
	return nil
}

// peakMemory is the most that the process ever had resident, in bytes.
func peakMemory() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if _, err := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/self/status tells no VmHWM")
}
