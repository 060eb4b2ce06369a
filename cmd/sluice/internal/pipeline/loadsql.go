package pipeline

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// sql reads the sink that is a table.
func (r *reader) sql(s *Spec, at field) {
	sql, _ := r.Object(at, "dsn", "table", "mode", "tombstone", "key", "columns", "create", "on_missing_row")
	r.Require(sql["dsn"], "name the database: "+dsnForms)
	r.Require(sql["table"], "name the table")
	r.Require(sql["mode"], "insert or upsert")
	r.Require(sql["columns"], "say what goes where: columns: {id: id}")
	s.SQL = SQL{
		DSN:          r.dsn(sql["dsn"]),
		Table:        r.Text(sql["table"]),
		Mode:         r.Choice(sql["mode"], ModeInsert, ModeUpsert),
		Tombstone:    r.Choice(sql["tombstone"], TombstoneDeadLetter, TombstoneSkip, TombstoneDelete),
		Key:          r.Texts(sql["key"]),
		Columns:      r.columns(s, sql["columns"]),
		Create:       r.Boolean(sql["create"]),
		OnMissingRow: r.Choice(sql["on_missing_row"], MissingRefuse, MissingCommit, MissingStart),
	}
	r.keys(s.SQL, sql)
	r.unused(s)
	if s.Ordering != sluice.ByPartition {
		r.Badf(s.orderingAt, "%q cannot be had beside a SQL sink: the rows of a partition and its offset share one transaction, so "+
			"its batches are written one after the other; leave ordering out, or say partition. Partitions are written in parallel: for "+
			"more of that, give the topic more partitions, and start a process for each if need be", s.orderingAt.Node.Value)
	}
	if s.Delivery != ExactlyOnce {
		r.Badf(s.deliveryAt, "%s is for a topic as the sink: a table gets every record exactly once, its offset with it; leave it out",
			s.Delivery)
	}
}

// dsn takes the value as it stands, since its variables are put in part by part, and never quotes it.
func (r *reader) dsn(f field) DSN {
	if !f.Present() {
		return DSN{}
	}
	if f.Node.Kind != yaml.ScalarNode || f.Node.ShortTag() != "!!str" {
		r.Badf(f, "not a DSN, which looks like %s", dsnForms)
		return DSN{}
	}
	d, err := ParseDSN(f.Node.Value, r.Env)
	for _, e := range Flatten(err) {
		r.Badf(f, "%v", e)
	}
	if err == nil {
		for _, e := range Flatten(checkOptions(d)) {
			r.Badf(f, "%v", e)
		}
	}
	return d
}

func (r *reader) columns(s *Spec, f field) []Column {
	fields, names := r.Object(f)
	if f.Present() && f.Node.Kind == yaml.MappingNode && len(f.Node.Content) == 0 {
		r.Badf(f, "no column; say what goes where: columns: {id: id}")
	}
	columns := make([]Column, 0, len(names))
	for _, name := range names {
		at := fields[name]
		if name == "" {
			r.Badf(at, "a column without a name")
		}
		column := Column{Name: name, From: FromValue}
		path := at
		if at.Node.Kind == yaml.MappingNode {
			parts, _ := r.Object(at, "from", "path", "type")
			column.From = r.Choice(parts["from"], FromValue, FromKey, FromPartition, FromOffset, FromTimestamp, FromSet)
			column.Type = r.Text(parts["type"])
			path = parts["path"]
			if path.Present() && column.From != FromValue && column.From != FromKey && column.From != FromSet {
				r.Badf(path, "a %s has no path", column.From)
				path.Node = nil
			}
		}
		column.Path, _ = r.Scalar(path, "a path")
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
			r.Badf(f, "decode: raw has no paths; leave it out, or write a lone dot, for the whole value")
		}
	case FormatCSV:
		switch {
		case c.Path == "" && f.Present() && (f.Node.Kind != yaml.ScalarNode || f.Node.ShortTag() == "!!null"): // told already
		case c.Path == "":
			r.Badf(f, "missing; say which field of the line, counted from 0%s", headerHint(format.Header))
		case slices.Contains(format.Header, c.Path):
			c.Path = strconv.Itoa(slices.Index(format.Header, c.Path))
		default:
			n, err := strconv.Atoi(c.Path)
			switch {
			case err != nil || n < 0:
				r.Badf(f, "%s is neither a field's number, counted from 0, nor a name in decode.csv.header%s",
					yamlfile.Quote(f.Node), yamlfile.Suggestion(c.Path, format.Header...))
			case len(format.Header) > 0 && n >= len(format.Header):
				r.Badf(f, "field %d is beyond the %d of decode.csv.header; fields are counted from 0", n, len(format.Header))
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
	if s.Mode == ModeUpsert && !key.Present() {
		r.Badf(sql["mode"], "upsert needs key: [...], the columns that tell rows apart")
	}
	byName := map[string]Column{}
	names := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		byName[c.Name], names[i] = c, c.Name
	}
	for i, name := range s.Key {
		at := field{Path: key.Path + "[" + strconv.Itoa(i) + "]", Node: yamlfile.Resolve(key.Node.Content[i])}
		column, ok := byName[name]
		switch {
		case name == "":
		case slices.Index(s.Key, name) < i:
			r.Badf(at, "%q is named twice", name)
		case !ok && len(names) > 0:
			r.Badf(at, "%q is not among the columns%s", name, yamlfile.Hint(name, names))
		case ok && s.Tombstone == TombstoneDelete && column.From != FromKey:
			r.Badf(sql["tombstone"], "delete finds the row by the record's key alone, so the key column %q needs from: key; "+
				"it has from: %s", name, column.From)
		}
	}
	if s.Tombstone == TombstoneDelete {
		if s.Mode == ModeInsert && sql["mode"].Present() {
			r.Badf(sql["tombstone"], "delete needs mode: upsert")
		}
	}
}
