package pipeline

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

func (r *reader) decode(s *Spec, f field) {
	s.Decode = Format{Name: FormatJSON, Separator: ','}
	r.Require(f, "say how a record's value is read: json, csv or raw")
	if !f.Present() {
		return
	}
	if f.Node.Kind != yaml.MappingNode {
		s.Decode.Name = r.Choice(f, FormatJSON, FormatCSV, FormatRaw)
		return
	}
	format, _ := r.Object(f, FormatCSV)
	s.Decode.Name = FormatCSV
	r.Require(format[FormatCSV], "a mapping here is for csv alone: decode: {csv: {header: [...]}}")
	csv, _ := r.Object(format[FormatCSV], "header", "separator")
	s.Decode.Header = r.Texts(csv["header"])
	for i, name := range s.Decode.Header {
		if name != "" && slices.Index(s.Decode.Header, name) < i {
			r.Badf(csv["header"], "%q is named twice", name)
		}
	}
	if text, ok := r.Scalar(csv["separator"], "one character"); ok {
		c, size := utf8.DecodeRuneInString(text)
		if size == 0 || size != len(text) || c == utf8.RuneError || strings.ContainsRune("\"\r\n\x00", c) {
			r.Badf(csv["separator"], "%s is not one character that may part fields", yamlfile.Quote(csv["separator"].Node))
		}
		s.Decode.Separator = c
	}
}
