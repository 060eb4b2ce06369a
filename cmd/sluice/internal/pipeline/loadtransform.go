package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// transform reads the expressions. It comes after decode, which says what they are about, and before the columns, which
// take what is set.
func (r *reader) transform(s *Spec, f field) {
	parts, _ := r.object(f, "filter", "set")
	if !f.present() || f.node.Kind != yaml.MappingNode {
		return
	}
	filter, set := parts["filter"], parts["set"]
	if !filter.present() && !set.present() {
		r.badf(f, "nothing in it; give filter: EXPRESSION, set: {name: EXPRESSION}, or both")
		return
	}
	s.Transform.Filter = r.expression(s, filter, forFilter)
	fields, names := r.object(set)
	if set.present() && set.node.Kind == yaml.MappingNode && len(names) == 0 {
		r.badf(set, "nothing in it; say what is computed: set: {total: value.quantity * value.price}")
	}
	for _, name := range names {
		if name == "" {
			r.badf(fields[name], "an expression without a name")
		}
		expression := r.expression(s, fields[name], forColumn)
		s.Transform.Set = append(s.Transform.Set, Computed{
			Name: name, Expression: expression, at: field{path: fields[name].path, node: fields[name].at},
		})
	}
}

// expression compiles an expression over records of the file's format.
func (r *reader) expression(s *Spec, f field, want result) *Expression {
	before := len(r.problems)
	text := r.verbatim(f)
	if !f.present() || len(r.problems) > before {
		return nil
	}
	if r.language == nil {
		var err error
		if r.language, err = newLanguage(s.Decode); err != nil {
			r.badf(f, "the expression language cannot be made: %v", err)
			return nil
		}
	}
	expression, mistakes := r.language.compile(text, want)
	for _, m := range mistakes {
		line, column, exact := r.place(f.node, m.line, m.column)
		p := Problem{File: r.file, Line: line, Column: column, Field: f.path, Message: m.message}
		if !exact {
			p.Message += fmt.Sprintf(" (line %d, column %d of the expression)", m.line, m.column)
		}
		r.problems = append(r.problems, p)
	}
	return expression
}

// verbatim reads text without putting variables in: one could change what an expression means.
func (r *reader) verbatim(f field) string {
	if !f.present() {
		return ""
	}
	if f.node.Kind == yaml.ScalarNode && strings.Contains(f.node.Value, "${") {
		r.badf(f, "an expression takes no ${NAME}: a variable could change what it means; write the value itself")
		return ""
	}
	if text := r.text(f); text != "" {
		return f.node.Value // with $$ as it stands
	}
	return ""
}

// place finds a place of an expression in the file. Where the file spells the text otherwise (escapes, folded lines) it is
// the text's begin, and exact is false.
func (r *reader) place(n *yaml.Node, line, column int) (fileLine, fileColumn int, exact bool) {
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
func (r *reader) line(n int) string {
	if n < 1 || n > len(r.lines) {
		return ""
	}
	return strings.TrimSuffix(r.lines[n-1], "\r")
}

// fromSet checks that a column's value is set.
func (r *reader) fromSet(s *Spec, c *Column, f field) {
	if c.Path == "" {
		c.Path = c.Name
	}
	names := make([]string, len(s.Transform.Set))
	for i, computed := range s.Transform.Set {
		names[i] = computed.Name
	}
	if !slices.Contains(names, c.Path) {
		r.badf(f, "transform.set has no %q%s", c.Path, hint(c.Path, names))
	}
}

// unused finds what is set for no column.
func (r *reader) unused(s *Spec) {
	for _, computed := range s.Transform.Set {
		if !slices.ContainsFunc(s.SQL.Columns, func(c Column) bool { return c.From == FromSet && c.Path == computed.Name }) {
			r.badf(computed.at, "no column takes it; say columns: {%s: {from: set}}", computed.Name)
		}
	}
}
