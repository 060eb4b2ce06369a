package yamlfile

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// Verbatim reads text without putting variables in: one could change what an expression means.
func (r *Reader) Verbatim(f Field) string {
	if !f.Present() {
		return ""
	}
	if f.Node.Kind == yaml.ScalarNode && strings.Contains(f.Node.Value, "${") {
		r.Badf(f, "an expression takes no ${NAME}: a variable could change what it means; write the value itself")
		return ""
	}
	if text := r.Text(f); text != "" {
		return f.Node.Value // with $$ as it stands
	}
	return ""
}

// Place finds a place of an expression in the file. Where the file spells the text otherwise (escapes, folded lines) it is
// the text's begin, and exact is false.
func (r *Reader) Place(n *yaml.Node, line, column int) (fileLine, fileColumn int, exact bool) {
	lines := strings.Split(n.Value, "\n")
	if line < 1 || line > len(lines) || n.Style&yaml.FoldedStyle != 0 {
		return n.Line, n.Column, false
	}
	fileLine, before := n.Line+line-1, n.Column-1
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		fileLine++ // the text begins below the |
		before = strings.Index(r.line(fileLine), lines[line-1])
	case len(lines) > 1:
		return n.Line, n.Column, false
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		before++
	}
	written := []rune(r.line(fileLine))
	if before < 0 || before > len(written) || !strings.HasPrefix(string(written[before:]), lines[line-1]) {
		return n.Line, n.Column, false
	}
	return fileLine, before + column, true
}

// line is a line of the file, from 1.
func (r *Reader) line(n int) string {
	if n < 1 || n > len(r.lines) {
		return ""
	}
	return strings.TrimSuffix(r.lines[n-1], "\r")
}
