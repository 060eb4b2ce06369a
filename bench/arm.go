package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// arm is one peer.
type arm struct {
	name    string
	part    func(o options) int64 // the orders after which it may stop; nil: all
	on      []string              // the databases that it knows; nil: all
	endless bool                  // has to be stopped when its orders are in the table
	command func(ctx context.Context, s *stage, h *home, j job) (*exec.Cmd, error)

	// counted is the statement that says how many records of a group are committed.
	counted func(j job) string

	// every is the time between two looks; 0: 20 ms, for a statement that reads a handful of rows, or of a small part.
	every time.Duration
}

const (
	armSluice   = "sluice"
	armUpsert   = "sluice_upsert"
	armGuide    = "guide"
	armHand     = "handwritten"
	armParallel = "handwritten_parallel"
	armDebezium = "debezium"
	armTuned    = "debezium_tuned"
)

func arms() []arm {
	return []arm{
		{name: armSluice, command: sluiceRun("insert"), counted: offsetsIn("sluice_offsets")},
		{name: armHand, command: loop(doHandwritten, false), counted: offsetsIn("bench_offsets")},
		{name: armParallel, on: []string{mariaDB, postgreSQL}, command: loop(doHandwritten, true), counted: offsetsIn("bench_offsets")},
		{name: armUpsert, command: sluiceRun("upsert"), counted: offsetsIn("sluice_offsets")},
		{
			name: armGuide, part: func(o options) int64 { return o.guideRecords }, on: []string{mariaDB},
			command: loop(doGuide, false), counted: rowsOf,
		},
		{name: armDebezium, on: []string{mariaDB}, endless: true, command: debezium(debeziumTuning{}), counted: rowsOf, every: time.Second},
		{name: armTuned, on: []string{mariaDB}, endless: true, command: debezium(tuned), counted: rowsOf, every: time.Second},
	}
}

func rowsOf(j job) string { return "select count(*) from " + j.Table }

// knows tells whether there is such an arm for a database.
func (a arm) knows(h *home) bool { return a.on == nil || slices.Contains(a.on, h.name) }

func armNames() []string {
	var names []string
	for _, a := range arms() {
		names = append(names, a.name)
	}
	return names
}

func offsetsIn(table string) func(job) string {
	return func(j job) string {
		return "select coalesce(sum(next_offset), 0) from " + table + " where group_id = '" + j.Group + "'"
	}
}

func loop(do string, parallel bool) func(context.Context, *stage, *home, job) (*exec.Cmd, error) {
	return func(ctx context.Context, _ *stage, _ *home, j job) (*exec.Cmd, error) {
		j.Do, j.Parallel = do, parallel
		return childCommand(ctx, j)
	}
}

// sluiceRun is the program with a pipeline that says nothing but what it must, so that all else is the default.
func sluiceRun(mode string) func(context.Context, *stage, *home, job) (*exec.Cmd, error) {
	const pipeline = `name: bench
kafka: {brokers: [%s]}
source: {topics: [%s], group: %s}
decode: json
sink:
  sql:
    dsn: %s
    table: %s
    mode: %s
    key: [id]
    columns: {id: id, customer: user, amount: amount, ts: ts}
`
	return func(ctx context.Context, s *stage, h *home, j job) (*exec.Cmd, error) {
		file := filepath.Join(s.folder, j.Table+".yaml")
		text := fmt.Sprintf(pipeline, strings.ReplaceAll(s.brokers, ",", ", "), j.Topic, j.Group, h.url, j.Table, mode)
		if mode == "insert" {
			text = strings.Replace(text, "    key: [id]\n", "", 1)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, s.sluice, "run", file, "--until-caught-up")
		// What the environment says about brokers would go before the file.
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
			return strings.HasPrefix(v, "KAFKA_") || strings.HasPrefix(v, "SLUICE_")
		})
		return cmd, nil
	}
}

// outcome is what one run of an arm gave.
type outcome struct {
	records  int64   // committed
	rate     float64 // records a second, from the first ones that were seen committed to the last
	wall     float64 // records a second of the process' whole life
	reported float64 // what the arm says itself; 0: nothing
	cpu      time.Duration
	rss      int64
}

// once runs an arm on a fresh table and a fresh group, and checks what it wrote.
func (s *stage) once(ctx context.Context, h *home, a arm) (outcome, error) {
	const limit = 10 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	records := s.records
	if a.part != nil {
		records = a.part(s.options)
	}
	s.runs++
	name := fmt.Sprintf("%s_%d", a.name, s.runs)
	j := job{
		Brokers: s.brokers, Database: h.name, DSN: h.dsn, Group: filepath.Base(s.folder) + "-" + name, Records: records, Table: name,
		Topic: s.topic,
	}
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	cmd, err := a.command(running, s, h, j)
	if err != nil {
		return outcome{}, err
	}
	if err := h.createTable(ctx, h.db, name); err != nil {
		return outcome{}, err
	}
	var out outcome
	var pace pace
	stop := watch(running, h, a, j, &pace, end)
	child, err := measured(running, cmd)
	stop()
	if err != nil {
		return out, err
	}
	got, all, err := h.readSums(ctx, h.db, name, records)
	if err == nil {
		err = verify(got, all, records, s.records)
	}
	if err != nil {
		return out, err
	}
	out = outcome{records: all, rate: pace.rate(all), wall: float64(all) / child.took.Seconds(), cpu: child.cpu, rss: child.rss}
	if a.endless { // what it wrote while it was being stopped was not looked at
		out.rate = pace.rate(records)
	}
	if out.rate == 0 {
		return out, fmt.Errorf("%d records are too few to see a rate; raise -records and -guide-records", records)
	}
	if a.name == armSluice || a.name == armUpsert {
		out.reported, err = reported(child.output)
	}
	_, dropErr := h.db.ExecContext(ctx, "drop table "+name)
	return out, errors.Join(err, dropErr)
}

func reported(line []byte) (float64, error) {
	var summary struct {
		PerSecond float64 `json:"records_per_second"`
	}
	if err := json.Unmarshal(line, &summary); err != nil || summary.PerSecond <= 0 {
		return 0, fmt.Errorf("sluice run printed no summary: %q (%w)", line, err)
	}
	return summary.PerSecond, nil
}

// errEnough is why an endless arm is stopped.
var errEnough = errors.New("it has written what it should")

// watch looks at an arm's progress until stop is called, which looks a last time. It ends an endless arm when its orders are in the
// table; partitions that got there sooner have gone on meanwhile. That end cancels ctx, and with it the looks.
func watch(ctx context.Context, h *home, a arm, j job, p *pace, end context.CancelCauseFunc) (stop func()) {
	interval := a.every
	if interval == 0 {
		interval = 20 * time.Millisecond
	}
	counted, first := a.counted(j), fmt.Sprintf("select count(*) from %s where id <= %d", j.Table, j.Records)
	look := func() {
		var n int64
		if err := h.db.QueryRowContext(ctx, counted).Scan(&n); err != nil { // there is no such table yet
			return
		}
		p.saw(time.Now(), n)
		if !a.endless || n < j.Records {
			return
		}
		if err := h.db.QueryRowContext(ctx, first).Scan(&n); err == nil && n == j.Records {
			end(errEnough)
		}
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				look()
				return
			case <-tick.C:
				look()
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// usage is what a process cost.
type usage struct {
	output []byte
	took   time.Duration
	cpu    time.Duration // user and system
	rss    int64         // bytes, at most
}

// measured runs a process to its end. The kernel counts this process' memory at the start as the child's: so this one stays
// small, and leaves producing to a child as well.
func measured(ctx context.Context, cmd *exec.Cmd) (usage, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil && !errors.Is(context.Cause(ctx), errEnough) {
		_, _ = io.Copy(os.Stderr, &stderr)
		return usage{}, errors.Join(fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err), context.Cause(ctx))
	}
	u := usage{output: stdout.Bytes(), took: took, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.rss = r.Maxrss * rssUnit()
	}
	return u, nil
}

// rssUnit is what the system counts a process' memory in.
func rssUnit() int64 {
	if runtime.GOOS == "darwin" {
		return 1
	}
	return 1024
}
