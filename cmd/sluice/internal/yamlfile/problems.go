package yamlfile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Problem is one mistake in a file.
type Problem struct {
	File    string
	Line    int // from 1; 0 when the mistake is nowhere in particular
	Column  int // from 1, in characters
	Field   string
	Message string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is every mistake in a file, in the order of its lines.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}

var (
	quoted    = regexp.MustCompile("(?s)`.*`")
	reference = regexp.MustCompile("(?s)unknown anchor '.*' referenced")
	circle    = regexp.MustCompile("(?s)anchor '.*' value contains itself")
)

// Unquote leaves out of what a YAML library says what it quotes of a file with secrets: a value, which may have quotes and line breaks of
// its own, and a reference, which may be a password that begins with a star.
func Unquote(text string) string {
	text = quoted.ReplaceAllLiteralString(text, "`…`")
	text = reference.ReplaceAllLiteralString(text, "nothing is named so with a &; put text that begins with * in quotes")
	return circle.ReplaceAllLiteralString(text, "what is named with a & contains itself")
}

// syntaxProblems translates what the YAML library says. Its messages name tokens.
func syntaxProblems(file string, err error) Problems {
	var out Problems
	add := func(e *yaml.LoadError) {
		message := Unquote(strings.TrimPrefix(e.Message, "yaml: "))
		switch message {
		case "no documents in stream":
			message = "the file is empty"
		case "expected single document, found multiple":
			message = "the file has several documents (---); it may hold one"
		}
		if e.ContextMsg != "" {
			message = e.ContextMsg + ": " + message
		}
		out = append(out, Problem{File: file, Line: e.Mark.Line, Column: e.Mark.Column, Message: message})
	}
	switch e := err.(type) { //nolint:errorlint // the library returns these two, unwrapped
	case *yaml.LoadErrors:
		for _, one := range e.Errors {
			add(one)
		}
	case *yaml.LoadError:
		add(e)
	default:
		out = append(out, Problem{File: file, Message: "not YAML"})
	}
	return out
}
