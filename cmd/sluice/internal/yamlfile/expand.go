package yamlfile

import (
	"fmt"
	"strings"
)

// Environment looks a variable up.
type Environment func(name string) (value string, ok bool)

// Expand replaces ${NAME} by the variable's value and $$ by one dollar. A dollar that begins neither stays as it is. It
// works on values that were read already, so a variable's value cannot change the file's structure.
func Expand(s string, env Environment) (string, error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed || !isVariable(name) {
				return "", fmt.Errorf("${ without a variable's name and a closing brace; write $$ for a dollar sign")
			}
			value, ok := env(name)
			if !ok {
				return "", fmt.Errorf("the environment variable %s is not set", name)
			}
			b.WriteString(value)
			s = after
		default:
			b.WriteByte('$')
			s = rest
		}
	}
}

func isVariable(name string) bool {
	for i, c := range name {
		letter := c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
