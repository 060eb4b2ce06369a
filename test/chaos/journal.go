package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// journal is a member's account of what it does: one line an event, each written at once, so that SIGKILL loses none. Every line
// begins with its kind and the time in nanoseconds:
//
//	B time partition offset key number    a handler begins
//	E time partition offset               it has returned, and the record is finished
//	A time partition                      a partition is ours
//	R time partition how                  it is no longer: "released", or "lost"
//	O time partition                      handlers of it still run although their time is up
//	C time took partition=offset …        a commit was acknowledged; it took so many nanoseconds
//	F time                                a commit failed
//	X time                                the process ends as it should
type journal struct {
	mu   sync.Mutex
	file *os.File
	line bytes.Buffer
	err  error // the first
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &journal{file: f}, err
}

// notef writes one line. The time is taken within the lock: lines are in the order of their times.
func (j *journal) notef(kind byte, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.line.Reset()
	fmt.Fprintf(&j.line, "%c %d ", kind, time.Now().UnixNano())
	fmt.Fprintf(&j.line, format, args...)
	j.line.WriteByte('\n')
	if _, err := j.file.Write(j.line.Bytes()); err != nil && j.err == nil {
		j.err = err
	}
}

func (j *journal) close() error {
	j.notef('X', "")
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.Close(); j.err == nil {
		j.err = err
	}
	return j.err
}

// line is one event of a journal.
type line struct {
	kind      byte
	at        time.Time
	partition int32
	offset    int64
	number    int64  // of the ledger; nanoseconds of a commit
	word      string // the key; how a partition went
	offsets   map[int32]int64
}

// readJournal returns the events of a journal. What is left of a last line without its end was not told.
func readJournal(path string) ([]line, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []line
	for n := 1; ; n++ {
		raw, rest, whole := bytes.Cut(text, []byte{'\n'})
		if !whole {
			return all, nil
		}
		l, err := parseLine(string(raw))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %q: %w", path, n, raw, err)
		}
		all, text = append(all, l), rest
	}
}

func parseLine(text string) (line, error) {
	fields := strings.Fields(text)
	next := func() string {
		if len(fields) == 0 {
			return ""
		}
		first := fields[0]
		fields = fields[1:]
		return first
	}
	var bad error
	integer := func(text string, bits int) int64 {
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil && bad == nil {
			bad = err
		}
		return n
	}
	var l line
	if kind := next(); len(kind) == 1 {
		l.kind = kind[0]
	}
	l.at = time.Unix(0, integer(next(), 64))
	switch l.kind {
	case 'B':
		l.partition, l.offset, l.word, l.number = int32(integer(next(), 32)), integer(next(), 64), next(), integer(next(), 64)
	case 'E':
		l.partition, l.offset = int32(integer(next(), 32)), integer(next(), 64)
	case 'A', 'O':
		l.partition = int32(integer(next(), 32))
	case 'R':
		l.partition, l.word = int32(integer(next(), 32)), next()
	case 'C':
		l.number = integer(next(), 64)
		l.offsets = make(map[int32]int64)
		for len(fields) > 0 {
			partition, offset, _ := strings.Cut(next(), "=")
			l.offsets[int32(integer(partition, 32))] = integer(offset, 64)
		}
	case 'F', 'X':
	default:
		return l, errors.New("no such kind of line")
	}
	return l, bad
}
