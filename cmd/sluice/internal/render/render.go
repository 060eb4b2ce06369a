// Package render turns numbers and lines into what fits a terminal.
package render

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Count writes a number with a comma between each three digits.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	const group = 3
	var parts []string
	for len(s) > group {
		parts = append([]string{s[len(s)-group:]}, parts...)
		s = s[:len(s)-group]
	}
	return sign + strings.Join(append([]string{s}, parts...), ",")
}

// Fit cuts a line to a width, in characters.
func Fit(s string, width int) string {
	if width < 1 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
