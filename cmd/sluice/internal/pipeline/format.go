package pipeline

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Format says how a record's value is read.
type Format struct {
	Name      string // json, csv or raw
	Header    []string
	Separator rune
}

// The formats.
const (
	FormatJSON = "json"
	FormatCSV  = "csv"
	FormatRaw  = "raw"
)

// parse sees whether a value is of the format, and returns the fields of a line of CSV.
func (f Format) parse(value []byte) (fields []string, err error) {
	switch f.Name {
	case FormatCSV:
		return f.split(value)
	case FormatJSON:
		switch {
		case nestedTooDeep(value):
			return nil, errors.New("the value " + nestedToo)
		case !gjson.ValidBytes(value):
			return nil, errors.New("the value is not JSON")
		}
	}
	return nil, nil
}

// byteOrderMark begins some programs' first line.
var byteOrderMark = []byte("\xef\xbb\xbf")

// split reads one line of CSV (RFC 4180).
func (f Format) split(line []byte) ([]string, error) {
	line = bytes.TrimPrefix(line, byteOrderMark)
	if !utf8.Valid(line) {
		return nil, errors.New("the value is not CSV: not UTF-8")
	}
	in := csv.NewReader(bytes.NewReader(line))
	in.Comma, in.FieldsPerRecord = f.Separator, -1
	fields, err := in.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the value is not a line of CSV: empty")
	case err != nil:
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			err = parse.Err
		}
		return nil, fmt.Errorf("the value is not a line of CSV: %w", err)
	}
	if _, err := in.Read(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the value holds more than one line of CSV")
	}
	if n := len(f.Header); n > 0 && len(fields) != n {
		return nil, fmt.Errorf("the line has %d fields, decode.csv.header has %d", len(fields), n)
	}
	return fields, nil
}
