package pipeline

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// reader walks a YAML tree and collects mistakes. Its getters return the zero value after a mistake, so that one pass finds
// them all.
type reader struct {
	file     string
	env      Environment
	lines    []string  // of the file
	language *language // of its expressions; nil before the first
	problems Problems
}

// field is a value somewhere in the file, or the place where it is missing.
type field struct {
	path string
	node *yaml.Node // the value; nil when the field is not there
	at   *yaml.Node // what to point at when it is not
	told bool       // it is missing because its parent is not a mapping, which was told
}

func (f field) present() bool { return f.node != nil }

func (r *reader) badf(f field, format string, args ...any) {
	at := f.node
	if at == nil {
		at = f.at
	}
	p := Problem{File: r.file, Field: f.path, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	r.problems = append(r.problems, p)
}

// object reads a mapping. Keys that are not known, and keys that are there twice, are mistakes; a nil known allows any.
func (r *reader) object(f field, known ...string) (fields map[string]field, keys []string) {
	fields = map[string]field{}
	for _, k := range known {
		fields[k] = field{path: join(f.path, k), at: f.node}
	}
	if !f.present() {
		return fields, nil
	}
	if f.node.Kind != yaml.MappingNode {
		r.badf(f, "%s where a mapping is expected%s", describe(f.node), oneOf(known))
		for k, v := range fields {
			v.told = true
			fields[k] = v
		}
		return fields, nil
	}
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		key, value := f.node.Content[i], resolve(f.node.Content[i+1])
		at := field{path: join(f.path, key.Value), node: key}
		if key.Kind != yaml.ScalarNode {
			r.badf(field{path: f.path, node: key}, "%s where a key is expected", describe(key))
			continue
		}
		old, isKnown := fields[key.Value]
		switch {
		case old.present():
			r.badf(at, "given twice; first in line %d", old.at.Line)
			continue
		case !isKnown && known != nil:
			r.badf(at, "unknown key%s", hint(key.Value, known))
			continue
		}
		fields[key.Value] = field{path: at.path, node: value, at: key}
		keys = append(keys, key.Value)
	}
	return fields, keys
}

// scalar returns the text of a single value, with the environment's variables in it.
func (r *reader) scalar(f field, want string) (string, bool) {
	if !f.present() {
		return "", false
	}
	if f.node.Kind != yaml.ScalarNode || f.node.ShortTag() == "!!null" {
		r.badf(f, "%s where %s is expected", describe(f.node), want)
		return "", false
	}
	s, err := expand(f.node.Value, r.env)
	if err != nil {
		r.badf(f, "%v", err)
		return "", false
	}
	return s, true
}

// text reads a string that is not empty.
func (r *reader) text(f field) string {
	if f.present() && f.node.Kind == yaml.ScalarNode {
		switch f.node.ShortTag() {
		case "!!int", "!!float", "!!bool":
			r.badf(f, "%s where text is expected; put it in quotes if it is meant as text", describe(f.node))
			return ""
		}
	}
	s, ok := r.scalar(f, "text")
	if ok && strings.TrimSpace(s) == "" {
		r.badf(f, "empty")
	}
	return s
}

// texts reads a list of strings that are not empty.
func (r *reader) texts(f field) []string {
	if !f.present() {
		return nil
	}
	if f.node.Kind != yaml.SequenceNode {
		r.badf(f, "%s where a list is expected, as in [a, b]", describe(f.node))
		return nil
	}
	if len(f.node.Content) == 0 {
		r.badf(f, "an empty list")
	}
	out := make([]string, 0, len(f.node.Content))
	for i, n := range f.node.Content {
		out = append(out, r.text(field{path: fmt.Sprintf("%s[%d]", f.path, i), node: resolve(n)}))
	}
	return out
}

// number reads a whole number of at least low.
func (r *reader) number(f field, low int) int {
	s, ok := r.scalar(f, "a whole number")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		r.badf(f, "%s is not a whole number", quote(f.node))
	case n < low:
		r.badf(f, "%d is below %d", n, low)
	}
	return n
}

func (r *reader) boolean(f field) bool {
	s, ok := r.scalar(f, "true or false")
	if ok && s != "true" && s != "false" {
		r.badf(f, "%s is neither true nor false", quote(f.node))
	}
	return s == "true"
}

// duration reads a positive time span such as 100ms.
func (r *reader) duration(f field) time.Duration {
	s, ok := r.scalar(f, "a duration, as in 500ms, 10s or 5m,")
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.badf(f, "%s is not a duration; write it with a unit, as in 500ms, 10s or 5m", quote(f.node))
	case d <= 0:
		r.badf(f, "%s is not above zero", quote(f.node))
	}
	return d
}

// choice reads one of some words. The first one stands for a field that is not there.
func (r *reader) choice(f field, words ...string) string {
	s, ok := r.scalar(f, strings.Join(words, ", "))
	if !ok {
		return words[0]
	}
	for _, w := range words {
		if s == w {
			return w
		}
	}
	r.badf(f, "%s is none of %s%s", quote(f.node), strings.Join(words, ", "), suggestion(s, words...))
	return words[0]
}

func (r *reader) require(f field, what string) {
	if !f.present() && !f.told {
		r.badf(f, "missing; %s", what)
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func describe(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return "a mapping"
	}
	if n.Kind == yaml.SequenceNode {
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	}
	return "the text " + quote(n)
}

func hint(word string, known []string) string {
	if near := suggestion(word, known...); near != "" {
		return near
	}
	return oneOf(known)
}

func oneOf(known []string) string {
	if len(known) == 0 {
		return ""
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}

// quote shows a value as it stands in the file, before variables were put in, and hides what may be a password: a DSN that
// slipped into another field.
func quote(n *yaml.Node) string {
	const most = 60
	s := Redact(n.Value)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}

var userinfo = regexp.MustCompile(`(?is)\b([a-z][a-z0-9+.-]*:/{0,2}).*@`)

// Redact replaces everything between a scheme and an @ by stars.
func Redact(s string) string { return userinfo.ReplaceAllString(s, "$1***@") }
