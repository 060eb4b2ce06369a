package sluice

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// scan reads name = value lines, with comments and with lines that go on after a backslash.
func (r *propertyReader) scan(in io.Reader) error {
	s := bufio.NewScanner(in)
	s.Buffer(nil, 1<<20)
	number, start, text := 0, 0, ""
	for s.Scan() {
		number++
		line := strings.TrimLeft(s.Text(), " \t\f")
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
	name, value := text, ""
	if i >= 0 {
		name = text[:i]
		value = strings.TrimLeft(text[i:], " \t\f")
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value = strings.TrimLeft(value[1:], " \t\f")
		}
	}
	name = unescape(name)
	if old, ok := r.all[name]; ok {
		problem := fmt.Sprintf("given before, in line %d", old.line)
		r.mistakes = append(r.mistakes, &ConfigError{Line: line, Property: name, Problem: problem})
		return
	}
	value = unescape(value)
	if name != "sasl.password" { // the format keeps blanks at the end, where only a password can mean them
		value = strings.TrimRight(value, " \t")
	}
	r.all[name] = property{line: line, value: value}
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
			if i+4 < len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+5], 16, 32); err == nil {
					b.WriteRune(rune(n))
					i += 4
					continue
				}
			}
			b.WriteByte('u')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
