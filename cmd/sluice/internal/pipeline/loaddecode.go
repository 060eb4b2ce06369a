package pipeline

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

func (r *reader) decode(s *Spec, f field) {
	s.Decode = Format{Name: FormatJSON, Separator: ','}
	r.require(f, "say how a record's value is read: json, csv or raw")
	if !f.present() {
		return
	}
	if f.node.Kind != yaml.MappingNode {
		s.Decode.Name = r.choice(f, FormatJSON, FormatCSV, FormatRaw)
		return
	}
	format, _ := r.object(f, FormatCSV)
	s.Decode.Name = FormatCSV
	r.require(format[FormatCSV], "a mapping here is for csv alone: decode: {csv: {header: [...]}}")
	csv, _ := r.object(format[FormatCSV], "header", "separator")
	s.Decode.Header = r.texts(csv["header"])
	for i, name := range s.Decode.Header {
		if name != "" && slices.Index(s.Decode.Header, name) < i {
			r.badf(csv["header"], "%q is named twice", name)
		}
	}
	if text, ok := r.scalar(csv["separator"], "one character"); ok {
		c, size := utf8.DecodeRuneInString(text)
		if size == 0 || size != len(text) || c == utf8.RuneError || strings.ContainsRune("\"\r\n\x00", c) {
			r.badf(csv["separator"], "%s is not one character that may part fields", quote(csv["separator"].node))
		}
		s.Decode.Separator = c
	}
}
