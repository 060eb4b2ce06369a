package sluice

import (
	"errors"
	"slices"
	"strings"
)

// jaasError is what is wrong with sasl.jaas.config, without anything of it.
func jaasError(problem string) error {
	return errors.New(problem + `; not of the form: org.apache.kafka.common.security.… required username="…" password="…";`)
}

// parseJAAS reads the options of a login module's entry: Module required username="u" password="p";
func parseJAAS(s string) (map[string]string, error) {
	j := &jaasReader{rest: s}
	if module := j.next(); module.kind != jaasWord && module.kind != jaasQuoted {
		return nil, jaasError("no login module is named")
	}
	switch flag := j.next(); {
	case flag.kind == jaasEnd:
		return nil, jaasError("ends behind the login module")
	case !slices.Contains([]string{"required", "requisite", "sufficient", "optional"}, strings.ToLower(flag.text)):
		return nil, jaasError("the word required does not follow the login module")
	}
	options := map[string]string{}
	for {
		name := j.next()
		switch {
		case name.kind == ';':
			if j.next().kind != jaasEnd {
				return nil, jaasError("something follows the ; that ends the login module; give one module, and quote what has a ; in it")
			}
			return options, nil
		case name.kind == jaasEnd:
			return nil, jaasError("no ; is at the end")
		case name.kind == jaasOpen:
			return nil, jaasError("a quote is not closed")
		case name.kind != jaasWord:
			return nil, jaasError("an option has no name")
		case j.next().kind != '=':
			return nil, jaasError("an option has no = behind its name")
		}
		value := j.next()
		switch {
		case value.kind == jaasOpen:
			return nil, jaasError("a quote is not closed")
		case value.kind != jaasWord && value.kind != jaasQuoted:
			return nil, jaasError("an option has no value, or one that needs quotes")
		}
		if _, twice := options[name.text]; twice {
			return nil, jaasError("an option is given twice; give one of the two")
		}
		options[name.text] = value.text
	}
}

// jaasReader takes an entry apart as Kafka does: words, strings in quotes, and = and ; with blanks and lines between them.
type jaasReader struct{ rest string }

// jaasToken is a word, a quoted string, or one character, which is then its kind.
type jaasToken struct {
	kind rune
	text string
}

const (
	jaasEnd    rune = -1 - iota
	jaasOpen        // a quoted string without its end
	jaasQuoted      // its text is without the quotes
	jaasWord
)

func (j *jaasReader) next() jaasToken {
	j.rest = strings.TrimLeft(j.rest, " \t\r\n\f")
	if j.rest == "" {
		return jaasToken{kind: jaasEnd}
	}
	first := j.rest[0]
	if first == '"' || first == '\'' {
		return j.quoted()
	}
	n := strings.IndexFunc(j.rest, func(r rune) bool { return !jaasLetter(r) })
	if n < 0 {
		n = len(j.rest)
	}
	if n == 0 {
		j.rest = j.rest[1:]
		return jaasToken{kind: rune(first)}
	}
	word := j.rest[:n]
	j.rest = j.rest[n:]
	return jaasToken{jaasWord, word}
}

// jaasLetter says what words are made of; all else needs quotes.
func jaasLetter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r > '\u00a0' || strings.ContainsRune("._-$", r)
}

// quoted takes a quoted string off the front.
func (j *jaasReader) quoted() jaasToken {
	s := j.rest
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			if at := strings.IndexByte("abfnrtv", s[i]); at >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v"[at])
			} else {
				b.WriteByte(s[i])
			}
		case s[i] == s[0]:
			j.rest = s[i+1:]
			return jaasToken{jaasQuoted, b.String()}
		default:
			b.WriteByte(s[i])
		}
	}
	return jaasToken{kind: jaasOpen}
}
