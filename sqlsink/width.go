package sqlsink

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checkWidths refuses columns that take less than their type in wants promises. Without that look a value that is too long would be
// poison, and a time would be rounded without a word.
func (c *core) checkWidths(t tableName, found *catalog, wants []Column, bad problemFunc) {
	for _, w := range wants {
		if has := found.column(w.Name); has != nil && narrower(has.typ, w.Type) {
			typ := attributePattern.ReplaceAllString(w.Type, "")
			bad(t, "column %s is %s, too narrow for %s; %s", w.Name, has.typ, typ,
				c.dialect.widen(quoteTable(c.dialect, t), c.dialect.quote(w.Name), typ, has))
		}
	}
}

// offsetTypes reads the types of the numbers in the statement that creates the table of offsets. Of its texts a person may have made
// columns of another length that has room for them.
func offsetTypes(statement string) []Column {
	var columns []Column
	for line := range strings.Lines(statement) {
		name, typ, _ := strings.Cut(strings.TrimRight(strings.TrimSpace(line), ","), " ")
		if slices.Contains(strings.Fields(offsetColumns), name) && parseType(typ, 0).family == wholeNumber {
			columns = append(columns, Column{Name: name, Type: typ})
		}
	}
	return columns
}

// family is a kind of types that can be compared with each other.
type family int

const (
	otherType family = iota // not compared
	wholeNumber
	decimalNumber
	realNumber
	text
	binary
	day
	clock
	moment // a day and a time
)

// sqlType is what a type holds.
type sqlType struct {
	family   family
	size     int // bits, digits before the point, characters or bytes
	fraction int // digits after the point, of a number or of a second
	unsigned bool
}

const unbounded = math.MaxInt

// typeNames has the types of MySQL, MariaDB and PostgreSQL, with the sizes of those that are not told one.
var typeNames = map[string]sqlType{
	"tinyint": {family: wholeNumber, size: 8}, "smallint": {family: wholeNumber, size: 16}, "int2": {family: wholeNumber, size: 16},
	"mediumint": {family: wholeNumber, size: 24}, "int": {family: wholeNumber, size: 32}, "integer": {family: wholeNumber, size: 32},
	"int4": {family: wholeNumber, size: 32}, "bigint": {family: wholeNumber, size: 64}, "int8": {family: wholeNumber, size: 64},

	"decimal": {family: decimalNumber}, "numeric": {family: decimalNumber},
	"real": {family: realNumber, size: 24}, "float": {family: realNumber, size: 24}, "float4": {family: realNumber, size: 24},
	"double": {family: realNumber, size: 53}, "float8": {family: realNumber, size: 53},

	"char": {family: text, size: 1}, "character": {family: text, size: 1}, "varchar": {family: text, size: unbounded},
	"character varying": {family: text, size: unbounded}, "tinytext": {family: text, size: 1<<8 - 1},
	"text": {family: text, size: 1<<16 - 1}, "mediumtext": {family: text, size: 1<<24 - 1}, "longtext": {family: text, size: unbounded},
	"binary": {family: binary, size: 1}, "varbinary": {family: binary, size: unbounded}, "tinyblob": {family: binary, size: 1<<8 - 1},
	"blob": {family: binary, size: 1<<16 - 1}, "mediumblob": {family: binary, size: 1<<24 - 1},
	"longblob": {family: binary, size: unbounded},

	"date": {family: day}, "time": {family: clock}, "datetime": {family: moment}, "timestamp": {family: moment},
}

var (
	typePattern = regexp.MustCompile(`^(character varying|[a-z]+[0-9]*)(?:$|\s|\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))`)

	// attributePattern finds where a column's definition goes on behind its type.
	attributePattern = regexp.MustCompile(`(?i)\s+(?:not null|null|default|primary|unique|references|check|generated|collate|constraint|` +
		`character set|auto_increment|comment)\b.*$`)
)

// parseType reads the beginning of a column's definition. What it does not know is of no family. A decimal and a time that tell no
// digits have as many as fallback says.
func parseType(definition string, fallback int) sqlType {
	definition = strings.ToLower(strings.TrimSpace(definition))
	m := typePattern.FindStringSubmatch(definition)
	if m == nil || strings.Contains(definition, "[") { // an array
		return sqlType{}
	}
	t := typeNames[m[1]]
	first, _ := strconv.Atoi(m[2])
	second, _ := strconv.Atoi(m[3])
	switch {
	case t.family == wholeNumber: // its number is what a terminal shows
		kind := attributePattern.ReplaceAllString(definition, "")
		t.unsigned = strings.Contains(kind, "unsigned") || strings.Contains(kind, "zerofill")
	case (t.family == text || t.family == binary) && m[2] != "":
		t.size = first
	case t.family == decimalNumber && m[2] != "":
		t.size, t.fraction = first-second, second
	case t.family == decimalNumber:
		t.size, t.fraction = fallback, fallback
	case (t.family == clock || t.family == moment) && m[2] != "":
		t.fraction = first
	case t.family == clock || t.family == moment:
		t.fraction = fallback
	}
	return t
}

// narrower tells whether a column of the type has takes less than all that one of the type wants does. Types of two kinds, signed and
// unsigned numbers, and those that it does not know are not compared: what becomes of a value is the database's to say.
func narrower(has, wants string) bool {
	h, w := parseType(has, unbounded), parseType(wants, 0)
	return h.family == w.family && h.unsigned == w.unsigned && (h.size < w.size || h.fraction < w.fraction)
}
