package pipeline

import "bytes"

const (
	// maxNesting bounds JSON before it is parsed: the parser calls itself for each level, and a stack that overflows ends the
	// process, which no recover prevents. It is the limit of encoding/json.
	maxNesting = 10_000
	nestedToo  = "is nested deeper than 10,000 levels"
)

// nestedTooDeep tells whether JSON goes deeper than maxNesting before its first mistake. Almost every record has too few
// brackets for that, which counting them shows at a fraction of what the parser costs.
func nestedTooDeep(json []byte) bool {
	if len(json) <= maxNesting || bytes.Count(json, []byte{'['})+bytes.Count(json, []byte{'{'}) <= maxNesting {
		return false
	}
	depth := 0
	for i := 0; i < len(json); i++ {
		switch json[i] {
		case '"':
			for i++; i < len(json) && json[i] != '"'; i++ {
				if json[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			if depth++; depth > maxNesting {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}
