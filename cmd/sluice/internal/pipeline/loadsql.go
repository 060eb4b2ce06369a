package pipeline

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-go/sluice"
)

// sql reads the sink that is a table.
func (r *reader) sql(s *Spec, at field) {
	sql, _ := r.object(at, "dsn", "table", "mode", "tombstone", "key", "columns", "create", "on_missing_row")
	r.require(sql["dsn"], "name the database: "+dsnForms)
	r.require(sql["table"], "name the table")
	r.require(sql["mode"], "insert or upsert")
	r.require(sql["columns"], "say what goes where: columns: {id: id}")
	s.SQL = SQL{
		DSN:          r.dsn(sql["dsn"]),
		Table:        r.text(sql["table"]),
		Mode:         r.choice(sql["mode"], ModeInsert, ModeUpsert),
		Tombstone:    r.choice(sql["tombstone"], TombstoneDeadLetter, TombstoneSkip, TombstoneDelete),
		Key:          r.texts(sql["key"]),
		Columns:      r.columns(s, sql["columns"]),
		Create:       r.boolean(sql["create"]),
		OnMissingRow: r.choice(sql["on_missing_row"], MissingRefuse, MissingCommit, MissingStart),
	}
	r.keys(s.SQL, sql)
	r.unused(s)
	if s.Ordering != sluice.ByPartition {
		r.badf(s.orderingAt, "%q cannot be had beside a SQL sink: the rows of a partition and its offset share one transaction, so "+
			"its batches are written one after the other; leave ordering out, or say partition. Partitions are written in parallel: for "+
			"more of that, give the topic more partitions, and start a process for each if need be", s.orderingAt.node.Value)
	}
	if s.Delivery != ExactlyOnce {
		r.badf(s.deliveryAt, "%s is for a topic as the sink: a table gets every record exactly once, its offset with it; leave it out",
			s.Delivery)
	}
}

// dsn takes the value as it stands, since its variables are put in part by part, and never quotes it.
func (r *reader) dsn(f field) DSN {
	if !f.present() {
		return DSN{}
	}
	if f.node.Kind != yaml.ScalarNode || f.node.ShortTag() != "!!str" {
		r.badf(f, "not a DSN, which looks like %s", dsnForms)
		return DSN{}
	}
	d, err := ParseDSN(f.node.Value, r.env)
	for _, e := range Flatten(err) {
		r.badf(f, "%v", e)
	}
	if err == nil {
		for _, e := range Flatten(checkOptions(d)) {
			r.badf(f, "%v", e)
		}
	}
	return d
}

func (r *reader) columns(s *Spec, f field) []Column {
	fields, names := r.object(f)
	if f.present() && f.node.Kind == yaml.MappingNode && len(f.node.Content) == 0 {
		r.badf(f, "no column; say what goes where: columns: {id: id}")
	}
	columns := make([]Column, 0, len(names))
	for _, name := range names {
		at := fields[name]
		if name == "" {
			r.badf(at, "a column without a name")
		}
		column := Column{Name: name, From: FromValue}
		path := at
		if at.node.Kind == yaml.MappingNode {
			parts, _ := r.object(at, "from", "path", "type")
			column.From = r.choice(parts["from"], FromValue, FromKey, FromPartition, FromOffset, FromTimestamp, FromSet)
			column.Type = r.text(parts["type"])
			path = parts["path"]
			if path.present() && column.From != FromValue && column.From != FromKey && column.From != FromSet {
				r.badf(path, "a %s has no path", column.From)
				path.node = nil
			}
		}
		column.Path, _ = r.scalar(path, "a path")
		r.path(s.Decode, &column, path)
		if column.From == FromSet {
			r.fromSet(s, &column, path)
		}
		columns = append(columns, column)
	}
	return columns
}

// path checks a path against the format. A lone dot is the whole value, like no path at all.
func (r *reader) path(format Format, c *Column, f field) {
	if c.Path == "." {
		c.Path = ""
	}
	if c.From != FromValue {
		return
	}
	switch format.Name {
	case FormatRaw:
		if c.Path != "" {
			r.badf(f, "decode: raw has no paths; leave it out, or write a lone dot, for the whole value")
		}
	case FormatCSV:
		switch {
		case c.Path == "" && f.present() && (f.node.Kind != yaml.ScalarNode || f.node.ShortTag() == "!!null"): // told already
		case c.Path == "":
			r.badf(f, "missing; say which field of the line, counted from 0%s", headerHint(format.Header))
		case slices.Contains(format.Header, c.Path):
			c.Path = strconv.Itoa(slices.Index(format.Header, c.Path))
		default:
			n, err := strconv.Atoi(c.Path)
			switch {
			case err != nil || n < 0:
				r.badf(f, "%s is neither a field's number, counted from 0, nor a name in decode.csv.header%s",
					quote(f.node), suggestion(c.Path, format.Header...))
			case len(format.Header) > 0 && n >= len(format.Header):
				r.badf(f, "field %d is beyond the %d of decode.csv.header; fields are counted from 0", n, len(format.Header))
			}
		}
	}
}

func headerHint(header []string) string {
	if len(header) == 0 {
		return ""
	}
	return ", or its name in decode.csv.header"
}

// keys checks key, mode and tombstone against the columns.
func (r *reader) keys(s SQL, sql map[string]field) {
	key := sql["key"]
	if s.Mode == ModeUpsert && !key.present() {
		r.badf(sql["mode"], "upsert needs key: [...], the columns that tell rows apart")
	}
	byName := map[string]Column{}
	names := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		byName[c.Name], names[i] = c, c.Name
	}
	for i, name := range s.Key {
		at := field{path: key.path + "[" + strconv.Itoa(i) + "]", node: resolve(key.node.Content[i])}
		column, ok := byName[name]
		switch {
		case name == "":
		case slices.Index(s.Key, name) < i:
			r.badf(at, "%q is named twice", name)
		case !ok && len(names) > 0:
			r.badf(at, "%q is not among the columns%s", name, hint(name, names))
		case ok && s.Tombstone == TombstoneDelete && column.From != FromKey:
			r.badf(sql["tombstone"], "delete finds the row by the record's key alone, so the key column %q needs from: key; "+
				"it has from: %s", name, column.From)
		}
	}
	if s.Tombstone == TombstoneDelete {
		if s.Mode == ModeInsert && sql["mode"].present() {
			r.badf(sql["tombstone"], "delete needs mode: upsert")
		}
	}
}
