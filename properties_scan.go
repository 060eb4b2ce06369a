package sluice

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scan reads name = value lines, with comments and with lines that go on after a backslash.
func (r *propertyReader) scan(in io.Reader) error {
	s := bufio.NewScanner(in)
	s.Buffer(nil, 1<<20)
	number, start, text := 0, 0, ""
	for s.Scan() {
		number++
		line := s.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // the mark at the start of a file in UTF-8
		}
		line = strings.TrimLeft(line, " \t\f")
		if text == "" {
			if line == "" || line[0] == '#' || line[0] == '!' {
				continue
			}
			start = number
		}
		if slashes := len(line) - len(strings.TrimRight(line, `\`)); slashes%2 == 1 {
			text += line[:len(line)-1]
			continue
		}
		text += line
		r.put(text, start)
		text = ""
	}
	if text != "" {
		r.put(text, start)
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read the properties: %w", err)
	}
	return nil
}

func (r *propertyReader) put(text string, line int) {
	i := strings.IndexAny(text, "=: \t\f")
	name, value, separated := text, "", false
	if i >= 0 {
		name = text[:i]
		value = strings.TrimLeft(text[i:], " \t\f")
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value, separated = strings.TrimLeft(value[1:], " \t\f"), true
		}
	}
	name = unescape(name)
	if name == "" {
		problem := "no name stands before the = or :; does the line before lack a backslash at its end?"
		r.mistakes = append(r.mistakes, &ConfigError{Line: line, Property: notShown, Problem: problem})
		return
	}
	if old, ok := r.all[name]; ok {
		told := notShown
		if named(name, separated && old.separated) {
			told = name
		}
		problem := fmt.Sprintf("given before, in line %d", old.line)
		r.mistakes = append(r.mistakes, &ConfigError{Line: line, Property: told, Problem: problem})
		return
	}
	value = unescape(value)
	if name != "sasl.password" { // the format keeps blanks at the end, where only a password can mean them
		value = strings.TrimRight(value, " \t")
	}
	r.all[name] = property{line: line, value: value, separated: separated}
}

// unescape resolves the format's escapes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			code, ok := codeUnit(s[i+1:])
			if !ok {
				b.WriteByte('u')
				continue
			}
			i += 4
			if rest, more := strings.CutPrefix(s[i+1:], `\u`); more && utf16.IsSurrogate(code) { // Java's characters have 16 bits
				if low, ok := codeUnit(rest); ok && utf16.DecodeRune(code, low) != utf8.RuneError {
					code = utf16.DecodeRune(code, low)
					i += 6
				}
			}
			b.WriteRune(code)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// codeUnit reads the four digits of an escape.
func codeUnit(s string) (code rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 32)
	return rune(n), err == nil
}
