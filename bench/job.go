package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// job is what this program does as a child of itself. Each arm is a process of its own, so that its processor time and its
// memory are its own.
type job struct {
	Do       string `json:"do"`
	Brokers  string `json:"brokers"`
	Topic    string `json:"topic"`
	Group    string `json:"group"`
	Database string `json:"database"` // its name
	DSN      string `json:"dsn"`
	Table    string `json:"table"`
	Records  int64  `json:"records"` // after so many the job is done
	Parallel bool   `json:"parallel"`
}

const (
	doProduce     = "produce"
	doGuide       = "guide"
	doHandwritten = "handwritten"

	jobVariable = "SLUICE_BENCH_JOB" // holds the job; in the environment because a DSN has a password
)

func (j job) seeds() []string { return strings.Split(j.Brokers, ",") }

func childCommand(ctx context.Context, j job) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	return cmd, nil
}

func runChild(ctx context.Context, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("%s: %w", jobVariable, err)
	}
	do, ok := map[string]func(context.Context, job) error{
		doProduce: produce, doGuide: guide, doHandwritten: handwritten,
	}[j.Do]
	if !ok {
		return fmt.Errorf("%s: nothing known to do: %q", jobVariable, j.Do)
	}
	return do(ctx, j)
}
