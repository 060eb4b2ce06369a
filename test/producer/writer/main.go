// Writer enqueues records until it is killed, and prints key and number of each on a line of its own once it was acknowledged. With
// -early it prints them before: that is the mistake which the test has to see.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	brokers := flag.String("brokers", "", "host:port, with commas")
	topic := flag.String("topic", "", "where to write")
	prefix := flag.String("prefix", "", "what each key begins with")
	early := flag.Bool("early", false, "tell before the broker's answer")
	flag.Parse()
	p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: strings.Split(*brokers, ",")})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	tell := func(r *kgo.Record) {
		// One write a line, and nothing held back: what the pipe has was told.
		if _, err := fmt.Fprintf(os.Stdout, "%s %s\n", r.Key, r.Value); err != nil {
			os.Exit(1)
		}
	}
	ctx := context.Background()
	const keys = 10
	for n := 0; ; n++ {
		for key := range keys {
			r := &kgo.Record{Topic: *topic, Key: []byte(*prefix + strconv.Itoa(key)), Value: []byte(strconv.Itoa(n))}
			if *early {
				tell(r)
			}
			p.Enqueue(ctx, r, func(r *kgo.Record, err error) {
				switch {
				case err != nil:
					select {
					case failed <- err:
					default:
					}
				case !*early:
					tell(r)
				}
			})
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
}
