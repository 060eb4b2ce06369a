package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// longestLine bounds what is held of an input that has no line's end.
const longestLine = 128 << 20

// errStopped is that an input was not read to its end, because ctx ended.
var errStopped = errors.New("stopped before the end of the input")

// eachLine calls f with every line, numbered from 1 and without its end, until f fails. It returns nil at the end of the input,
// and errStopped at the end of ctx. A read that never returns does not keep it. It reads no more ahead than a line, which may
// be large, and what its buffer holds.
func eachLine(ctx context.Context, in io.Reader, f func(number int64, line []byte) error) error {
	type part struct {
		lines [][]byte
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make(chan part)
	go func() { // ends with the input, or, once ctx is done, with the read that is under way
		r := bufio.NewReaderSize(in, 1<<16)
		for {
			var p part
			for more := true; more; {
				var line []byte
				if line, p.err = readLine(r); len(line) > 0 {
					p.lines = append(p.lines, bytes.TrimSuffix(line, []byte("\n")))
				}
				buffered, _ := r.Peek(r.Buffered())
				more = p.err == nil && bytes.IndexByte(buffered, '\n') >= 0 // without a wait
			}
			select {
			case parts <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	}()
	number := int64(0)
	for {
		var p part
		select {
		case <-ctx.Done():
			return errStopped
		case p = <-parts:
		}
		for _, line := range p.lines {
			if ctx.Err() != nil {
				return errStopped
			}
			number++
			if err := f(number, line); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(p.err, io.EOF):
			return nil
		case p.err != nil:
			return fmt.Errorf("read the input: %w", p.err)
		}
	}
}

// readLine returns a line with its end, in memory of its own, or what there is of it and an error.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		case len(line) > longestLine:
			return nil, fmt.Errorf("a line of more than %d MiB", longestLine>>20)
		}
	}
}
