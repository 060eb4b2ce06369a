// Command sluice runs Kafka consumers that write to SQL databases exactly once, and shows that they do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	abort := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		stop()
		<-signals
		close(abort)
	}()
	os.Exit(cli.Main(ctx, cli.Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv, Abort: abort,
	}))
}
