package exporter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
)

// labels makes labels, each once a scrape.
type labels map[string]map[string]*dto.LabelPair

func (l labels) pair(name, value string) *dto.LabelPair {
	of := l[name]
	if of == nil {
		of = map[string]*dto.LabelPair{}
		l[name] = of
	}
	p := of[value]
	if p == nil {
		text := valid(value)
		p = &dto.LabelPair{Name: &name, Value: &text}
		of[value] = p
	}
	return p
}

// valid is a text as a label's value: UTF-8. Different texts stay different, as two series must not be the same: a byte that is none
// becomes U+FFFD with its two digits, and U+FFFD itself is doubled.
func valid(text string) string {
	if utf8.ValidString(text) && !strings.ContainsRune(text, utf8.RuneError) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "%c%02x", utf8.RuneError, text[i])
		case r == utf8.RuneError:
			b.WriteString("\uFFFD\uFFFD")
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}
