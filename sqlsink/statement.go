package sqlsink

import (
	"strings"
)

// statements makes the SQL text. Every name in it is quoted, every value is a placeholder.
type statements struct {
	d       dialect
	columns []string // unquoted, in the order of Config.Columns
	key     []string
	mode    Mode
	table   string // quoted
	offsets string
}

func newStatements(s *settings) *statements {
	t := &statements{d: s.dialect, mode: s.mode, table: quoteTable(s.dialect, s.table), offsets: quoteTable(s.dialect, s.offsets)}
	for _, c := range s.columns {
		t.columns = append(t.columns, c.Name)
	}
	for _, i := range s.key {
		t.key = append(t.key, s.columns[i].Name)
	}
	return t
}

func quoteTable(d dialect, t tableName) string {
	if t.schema == "" {
		return d.quote(t.name)
	}
	return d.quote(t.schema) + "." + d.quote(t.name)
}

// params replaces each ? of a statement of ours by the dialect's placeholder.
func (t *statements) params(text string) string {
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(text, "?") {
		if n > 0 {
			b.WriteString(t.d.param(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// wherePartition ends a statement that is about one partition: its last three arguments are group, topic, partition.
const wherePartition = " where group_id = ? and topic = ? and partition_id = ?"

// fence takes next_offset, leader_epoch; group, topic, partition; owner_epoch, owner and the next_offset it must find.
func (t *statements) fence() string {
	return "update " + t.offsets + t.params(" set next_offset = ?, leader_epoch = ?, updated_at = "+t.d.now()+
		wherePartition+" and owner_epoch = ? and owner = ? and next_offset = ?")
}

// readOffset takes group, topic, partition, and locks the row.
func (t *statements) readOffset() string {
	return "select topic_id, next_offset, leader_epoch, owner_epoch, owner from " + t.offsets + t.params(wherePartition) + t.d.forUpdate()
}

// takeOffset takes owner_epoch, owner, topic_id; group, topic, partition.
func (t *statements) takeOffset() string {
	return "update " + t.offsets + t.params(" set owner_epoch = ?, owner = ?, topic_id = ?, updated_at = "+t.d.now()+wherePartition)
}

// addOffset takes group, topic, partition, topic_id, next_offset, leader_epoch, owner_epoch, owner.
func (t *statements) addOffset() string {
	return "insert into " + t.offsets + " (" + strings.Join(strings.Fields(offsetColumns), ", ") + ")" +
		t.params(" values (?, ?, ?, ?, ?, ?, ?, ?, "+t.d.now()+")")
}

// put takes the values of n rows.
func (t *statements) put(n int, otherUnique bool) string {
	var b strings.Builder
	b.Grow(64 + n*len(t.columns)*8)
	b.WriteString("insert into " + t.table + " (" + t.list(t.columns) + ") values ")
	for row := range n {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for i := range t.columns {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(t.d.param(row*len(t.columns) + i + 1))
		}
		b.WriteByte(')')
	}
	if t.mode == Upsert {
		b.WriteString(t.d.upsert(t.columns, t.key, otherUnique))
	}
	return b.String()
}

// remove takes the keys of n rows.
func (t *statements) remove(n int) string {
	var b strings.Builder
	b.WriteString("delete from " + t.table + " where ")
	if len(t.key) == 1 {
		b.WriteString(t.d.quote(t.key[0]) + " in (")
		for row := range n {
			if row > 0 {
				b.WriteString(", ")
			}
			b.WriteString(t.d.param(row + 1))
		}
		b.WriteByte(')')
		return b.String()
	}
	for row := range n {
		if row > 0 {
			b.WriteString(" or ")
		}
		for i, k := range t.key {
			b.WriteString([]string{"(", " and "}[min(i, 1)] + t.d.quote(k) + " = " + t.d.param(row*len(t.key)+i+1))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// createTable creates the table of rows.
func (t *statements) createTable(columns []Column) string {
	var b strings.Builder
	b.WriteString("create table if not exists " + t.table + " (")
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		typ := c.Type
		if typ == "" {
			inKey := false
			for _, k := range t.key {
				inKey = inKey || k == c.Name
			}
			typ = t.d.columnType(inKey)
		}
		b.WriteString("\n\t" + t.d.quote(c.Name) + " " + typ)
	}
	if len(t.key) > 0 {
		b.WriteString(",\n\tprimary key (" + t.list(t.key) + ")")
	}
	b.WriteString("\n)" + t.d.tableOptions())
	return b.String()
}

// forget is what a person runs to make the sink forget a partition; it is shown, never run.
func (t *statements) forget(group, topic string, partition int32) string {
	text := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return "delete from " + t.offsets + " where group_id = " + text(group) + " and topic = " + text(topic) +
		" and partition_id = " + itoa(partition)
}

func (t *statements) list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = t.d.quote(n)
	}
	return strings.Join(quoted, ", ")
}
