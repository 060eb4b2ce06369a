package cli

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/jsonline"
)

// recordWriter prints records in one of the formats. An error stays in it until it is flushed.
type recordWriter struct {
	out     *bufio.Writer
	append  func([]byte, *kgo.Record) []byte
	buffer  []byte
	written int64
	gauge   *gauge // nil: nobody looks
}

// newRecordWriter makes one. layout, where there is one, goes before separator; null stands for null in lines.
func newRecordWriter(out io.Writer, o *consumeOptions) (*recordWriter, error) {
	w := &recordWriter{out: bufio.NewWriterSize(out, 1<<16)}
	switch {
	case o.output == "json":
		w.append = func(b []byte, r *kgo.Record) []byte { return append(jsonline.Append(b, r), '\n') }
	case o.layout != "":
		if !strings.Contains(o.layout, "%") {
			return nil, usagef("--format %q: nothing of a record is in it, such as %%v; -o json prints JSON", o.layout)
		}
		formatter, err := kgo.NewRecordFormatter(o.layout)
		if err != nil {
			return nil, usagef("--format %q: %w; see sluice consume --help", o.layout, err)
		}
		w.append = formatter.AppendRecord
	default:
		separator, null := separators.Replace(o.separator), []byte(o.null)
		text := func(b, field []byte) []byte {
			if field == nil {
				field = null
			}
			return append(b, field...)
		}
		w.append = func(b []byte, r *kgo.Record) []byte {
			if separator != "" {
				b = append(text(b, r.Key), separator...)
			}
			return append(text(b, r.Value), '\n')
		}
	}
	return w, nil
}

func (w *recordWriter) write(r *kgo.Record) {
	w.buffer = w.append(w.buffer[:0], r)
	_, _ = w.out.Write(w.buffer)
	w.written++
	if w.gauge != nil {
		w.gauge.count.Store(w.written)
	}
}

// hungUp tells whether an error means that nobody reads any more, as behind `| head`.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
