package yamlfile

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Reader walks a YAML tree and collects mistakes. Its getters return the zero value after a mistake, so that one pass finds
// them all.
type Reader struct {
	File string
	Env  Environment

	lines    []string // of the file
	problems Problems
}

// Field is a value somewhere in the file, or the place where it is missing.
type Field struct {
	Path string
	Node *yaml.Node // the value; nil when the field is not there
	At   *yaml.Node // what to point at when it is not; its key when it is
	told bool       // it is missing because its parent is not a mapping, which was told

	// Secret has no mistake quote the value, nor a key of it that is not known; what is in it is secret as well.
	Secret bool
}

// Read parses a text. The error is of type Problems: it is no YAML.
func Read(file string, text []byte, env Environment) (r *Reader, root Field, err error) {
	var document yaml.Node
	if err := yaml.Load(text, &document); err != nil {
		return nil, root, syntaxProblems(file, err)
	}
	if len(document.Content) == 0 {
		return nil, root, Problems{{File: file, Message: "the file is empty"}}
	}
	return &Reader{File: file, Env: env, lines: strings.Split(string(text), "\n")}, Field{Node: Resolve(document.Content[0])}, nil
}

// Open reads a file's text. The error is of type Problems.
func Open(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		if pathErr, ok := errors.AsType[*os.PathError](err); ok {
			err = pathErr.Err
		}
		return nil, Problems{{File: file, Message: err.Error()}}
	}
	return text, nil
}

// Problems are the mistakes so far, in the order of their lines.
func (r *Reader) Problems() Problems { return r.problems.sorted() }

// Add adds a mistake.
func (r *Reader) Add(p Problem) { r.problems = append(r.problems, p) }

// Err is every mistake so far; nil when there is none.
func (r *Reader) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.Problems()
}

// Present tells whether the field is there.
func (f Field) Present() bool { return f.Node != nil }

// Badf adds a mistake at a field.
func (r *Reader) Badf(f Field, format string, args ...any) {
	at := f.Node
	if at == nil {
		at = f.At
	}
	p := Problem{File: r.File, Field: f.Path, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	r.problems = append(r.problems, p)
}

// Object reads a mapping. Keys that are not known, and keys that are there twice, are mistakes; a nil known allows any.
func (r *Reader) Object(f Field, known ...string) (fields map[string]Field, keys []string) {
	fields = map[string]Field{}
	for _, k := range known {
		fields[k] = Field{Path: join(f.Path, k), At: f.Node, Secret: f.Secret}
	}
	if !f.Present() {
		return fields, nil
	}
	if f.Node.Kind != yaml.MappingNode {
		r.Badf(f, "%s where a mapping is expected%s", f.describe(), oneOf(known))
		for k, v := range fields {
			v.told = true
			fields[k] = v
		}
		return fields, nil
	}
	for i := 0; i+1 < len(f.Node.Content); i += 2 {
		key, value := f.Node.Content[i], Resolve(f.Node.Content[i+1])
		at := Field{Path: join(f.Path, key.Value), Node: key}
		if key.Kind != yaml.ScalarNode {
			r.Badf(Field{Path: f.Path, Node: key}, "%s where a key is expected", describe(key))
			continue
		}
		old, isKnown := fields[key.Value]
		switch {
		case old.Present():
			r.Badf(at, "given twice; first in line %d", old.At.Line)
			continue
		case !isKnown && known != nil && f.Secret && Suggestion(key.Value, known...) == "": // an address, maybe
			r.Badf(Field{Path: f.Path, Node: key}, "unknown key%s", oneOf(known))
			continue
		case !isKnown && known != nil:
			r.Badf(at, "unknown key%s", Hint(key.Value, known))
			continue
		}
		fields[key.Value] = Field{Path: at.Path, Node: value, At: key, Secret: f.Secret}
		keys = append(keys, key.Value)
	}
	return fields, keys
}

// Scalar returns the text of a single value, with the environment's variables in it.
func (r *Reader) Scalar(f Field, want string) (string, bool) {
	if !f.Present() {
		return "", false
	}
	if f.Node.Kind != yaml.ScalarNode || f.Node.ShortTag() == "!!null" {
		r.Badf(f, "%s where %s is expected", f.describe(), want)
		return "", false
	}
	s, err := Expand(f.Node.Value, r.Env)
	if err != nil {
		r.Badf(f, "%v", err)
		return "", false
	}
	return s, true
}

// Text reads a string that is not empty.
func (r *Reader) Text(f Field) string {
	if f.Present() && f.Node.Kind == yaml.ScalarNode {
		switch f.Node.ShortTag() {
		case "!!int", "!!float", "!!bool":
			r.Badf(f, "%s where text is expected; put it in quotes if it is meant as text", f.describe())
			return ""
		}
	}
	s, ok := r.Scalar(f, "text")
	if ok && strings.TrimSpace(s) == "" {
		r.Badf(f, "empty")
	}
	return s
}

// Texts reads a list of strings that are not empty.
func (r *Reader) Texts(f Field) []string {
	if !f.Present() {
		return nil
	}
	if f.Node.Kind != yaml.SequenceNode {
		r.Badf(f, "%s where a list is expected, as in [a, b]", describe(f.Node))
		return nil
	}
	if len(f.Node.Content) == 0 {
		r.Badf(f, "an empty list")
	}
	out := make([]string, 0, len(f.Node.Content))
	for i, n := range f.Node.Content {
		out = append(out, r.Text(Field{Path: fmt.Sprintf("%s[%d]", f.Path, i), Node: Resolve(n)}))
	}
	return out
}

// Number reads a whole number of at least low.
func (r *Reader) Number(f Field, low int) int {
	s, ok := r.Scalar(f, "a whole number")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		r.Badf(f, "%s is not a whole number", Quote(f.Node))
	case n < low:
		r.Badf(f, "%d is below %d", n, low)
	}
	return n
}

// Boolean reads true or false.
func (r *Reader) Boolean(f Field) bool {
	s, ok := r.Scalar(f, "true or false")
	if ok && s != "true" && s != "false" {
		r.Badf(f, "%s is neither true nor false", Quote(f.Node))
	}
	return s == "true"
}

// Duration reads a positive time span such as 100ms.
func (r *Reader) Duration(f Field) time.Duration {
	s, ok := r.Scalar(f, "a duration, as in 500ms, 10s or 5m,")
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.Badf(f, "%s is not a duration; write it with a unit, as in 500ms, 10s or 5m", Quote(f.Node))
	case d <= 0:
		r.Badf(f, "%s is not above zero", Quote(f.Node))
	}
	return d
}

// Choice reads one of some words. The first one stands for a field that is not there.
func (r *Reader) Choice(f Field, words ...string) string {
	s, ok := r.Scalar(f, strings.Join(words, ", "))
	if !ok {
		return words[0]
	}
	for _, w := range words {
		if s == w {
			return w
		}
	}
	r.Badf(f, "%s is none of %s%s", Quote(f.Node), strings.Join(words, ", "), Suggestion(s, words...))
	return words[0]
}

// Require has it that a field is there.
func (r *Reader) Require(f Field, what string) {
	if !f.Present() && !f.told {
		r.Badf(f, "missing; %s", what)
	}
}

// Resolve follows an alias.
func Resolve(n *yaml.Node) *yaml.Node {
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

func (f Field) describe() string {
	if !f.Secret || f.Node.Kind != yaml.ScalarNode {
		return describe(f.Node)
	}
	switch f.Node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a truth value"
	}
	return "a text"
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
	return "the text " + Quote(n)
}

// Hint names the known word that was probably meant, or all.
func Hint(word string, known []string) string {
	if near := Suggestion(word, known...); near != "" {
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

// Quote shows a value as it stands in the file, before variables were put in, and hides what may be a password: a DSN that
// slipped into another field.
func Quote(n *yaml.Node) string {
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
