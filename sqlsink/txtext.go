package sqlsink

import "strings"

// endsTransaction names what a statement does to the transaction, when its first words say that it ends it. It spares people the
// usual mistake; what it does not see is noticed after Work, when the savepoint is gone.
func endsTransaction(d dialect, text string) string {
	first, rest := word(text)
	second, rest := word(rest)
	third, _ := word(rest)
	var ends bool
	switch first {
	case "commit", "begin":
		ends = true
	case "start":
		ends = second == "transaction"
	case "rollback": // [work | transaction] to savepoint stays
		ends = second != "to" && third != "to"
	default:
		ends = d.commits(first, second)
	}
	if !ends {
		return ""
	}
	return strings.ToUpper(strings.TrimSpace(first + " " + second))
}

// word cuts the first word off, in lower case, and skips what may stand before it: space, comments, semicolons.
func word(text string) (first, rest string) {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v;")
		comment := ""
		switch {
		case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "#"):
			comment = "\n"
		case strings.HasPrefix(text, "/*"):
			comment = "*/"
		}
		if comment == "" {
			break
		}
		_, text, _ = strings.Cut(text, comment)
	}
	n := 0
	for n < len(text) && (text[n] == '_' || 'a' <= text[n]|0x20 && text[n]|0x20 <= 'z') {
		n++
	}
	return strings.ToLower(text[:n]), text[n:]
}
