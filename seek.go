package sluice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// Why a partition was not moved. A *SeekError wraps one of them.
var (
	ErrNotAssigned = engine.ErrNotAssigned
	ErrOutsideLog  = engine.ErrOutsideLog
	ErrSinkDecides = engine.ErrSinkDecides
	ErrTransacts   = engine.ErrTransacts
)

// SeekError says why Seek or SeekTime did not move a partition.
type SeekError struct {
	Topic     string
	Partition int32
	Offset    int64 // that was asked for; -1 where a time was

	// LogStart and LogEnd are what can be had: from LogStart to LogEnd, which is the next record to be written; -1 where the brokers
	// were not asked.
	LogStart, LogEnd int64

	Err error
}

func (e *SeekError) Error() string {
	text := fmt.Sprintf("seek %s[%d]", e.Topic, e.Partition)
	if e.Offset >= 0 {
		text += fmt.Sprintf(" to %d", e.Offset)
	}
	text += ": " + e.Err.Error()
	switch {
	case errors.Is(e.Err, ErrOutsideLog):
		text += fmt.Sprintf("; give %d to %d", e.LogStart, e.LogEnd)
	case errors.Is(e.Err, ErrNotAssigned):
		text += "; App.Snapshot lists those that are. To move a partition of any member, stop the group and use kafka-consumer-groups " +
			"--reset-offsets"
	case errors.Is(e.Err, ErrSinkDecides):
		text += "; change the offset where the sink keeps it, while the app does not run"
	}
	return text
}

// Unwrap returns why.
func (e *SeekError) Unwrap() error { return e.Err }

// Seek has a partition that is assigned to this app go on at an offset, from the log's start to its end. What waits is forgotten;
// handlers that run end first, or have their context cancelled with the cause ErrMoved after DrainTimeout, and no record of theirs
// runs beside one of the new position in the same lane. It returns when the new position is committed, so that neither a crash nor a
// rebalance undoes it; when ctx ends earlier, the move goes on. Records between the two positions are handled again, or never. A
// halted partition works again; a paused one stays paused. Its error is a *SeekError.
func (a *App) Seek(ctx context.Context, topic string, partition int32, offset int64) error {
	failed := &SeekError{Topic: topic, Partition: partition, Offset: offset, LogStart: -1, LogEnd: -1}
	e, err := a.engineOf(topic, "seek")
	if err != nil {
		return err
	}
	if failed.LogStart, failed.LogEnd, failed.Err = e.Seek(ctx, topic, partition, offset); failed.Err != nil {
		return failed
	}
	return nil
}

// SeekTime is Seek to the first record with a timestamp of t or later, or to the log's end when there is none.
func (a *App) SeekTime(ctx context.Context, topic string, partition int32, t time.Time) error {
	e, err := a.engineOf(topic, "seek")
	if err != nil {
		return err
	}
	offset, err := e.OffsetAt(ctx, topic, partition, t)
	if err != nil {
		return &SeekError{Topic: topic, Partition: partition, Offset: -1, LogStart: -1, LogEnd: -1, Err: err}
	}
	return a.Seek(ctx, topic, partition, offset)
}
