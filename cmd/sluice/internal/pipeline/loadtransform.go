package pipeline

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// transform reads the expressions. It comes after decode, which says what they are about, and before the columns, which
// take what is set.
func (r *reader) transform(s *Spec, f field) {
	parts, _ := r.Object(f, "filter", "set")
	if !f.Present() || f.Node.Kind != yaml.MappingNode {
		return
	}
	filter, set := parts["filter"], parts["set"]
	if !filter.Present() && !set.Present() {
		r.Badf(f, "nothing in it; give filter: EXPRESSION, set: {name: EXPRESSION}, or both")
		return
	}
	s.Transform.Filter = r.expression(s, filter, forFilter)
	fields, names := r.Object(set)
	if set.Present() && set.Node.Kind == yaml.MappingNode && len(names) == 0 {
		r.Badf(set, "nothing in it; say what is computed: set: {total: value.quantity * value.price}")
	}
	for _, name := range names {
		if name == "" {
			r.Badf(fields[name], "an expression without a name")
		}
		expression := r.expression(s, fields[name], forColumn)
		s.Transform.Set = append(s.Transform.Set, Computed{
			Name: name, Expression: expression, at: field{Path: fields[name].Path, Node: fields[name].At},
		})
	}
}

// expression compiles an expression over records of the file's format.
func (r *reader) expression(s *Spec, f field, want result) *Expression {
	before := len(r.Problems())
	text := r.Verbatim(f)
	if !f.Present() || len(r.Problems()) > before {
		return nil
	}
	if r.language == nil {
		var err error
		if r.language, err = newLanguage(s.Decode); err != nil {
			r.Badf(f, "the expression language cannot be made: %v", err)
			return nil
		}
	}
	expression, mistakes := r.language.compile(text, want)
	for _, m := range mistakes {
		line, column, exact := r.Place(f.Node, m.line, m.column)
		p := yamlfile.Problem{File: r.File, Line: line, Column: column, Field: f.Path, Message: m.message}
		if !exact {
			p.Message += fmt.Sprintf(" (line %d, column %d of the expression)", m.line, m.column)
		}
		r.Add(p)
	}
	return expression
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
		r.Badf(f, "transform.set has no %q%s", c.Path, yamlfile.Hint(c.Path, names))
	}
}

// unused finds what is set for no column.
func (r *reader) unused(s *Spec) {
	for _, computed := range s.Transform.Set {
		if !slices.ContainsFunc(s.SQL.Columns, func(c Column) bool { return c.From == FromSet && c.Path == computed.Name }) {
			r.Badf(computed.at, "no column takes it; say columns: {%s: {from: set}}", computed.Name)
		}
	}
}
