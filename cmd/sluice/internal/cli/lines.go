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

// eachLine calls f with every line, numbered from 1 and without its end, until f fails or the end of the input or of ctx. A
// read that never returns does not keep it.
func eachLine(ctx context.Context, in io.Reader, f func(number int64, line []byte) error) error {
	type result struct {
		line []byte
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan result, 256)
	go func() { // ends with the input, or, once ctx is done, with the read that is under way
		defer close(lines)
		r := bufio.NewReaderSize(in, 1<<16)
		for {
			line, err := readLine(r)
			if len(line) > 0 {
				select {
				case lines <- result{line: bytes.TrimSuffix(line, []byte("\n"))}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					select {
					case lines <- result{err: fmt.Errorf("read the input: %w", err)}:
					case <-ctx.Done():
					}
				}
				return
			}
		}
	}()
	for number := int64(1); ; number++ {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-lines:
			switch {
			case !ok:
				return nil
			case r.err != nil:
				return r.err
			}
			if err := f(number, r.line); err != nil {
				return err
			}
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
