package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func mapperFor(t testing.TB, dsn, tail string) *Mapper {
	t.Helper()
	text := "name: t\nsource: {topics: [t]}\n" + strings.ReplaceAll(tail, "SQL", "dsn: '"+dsn+"', table: t")
	spec, err := Parse("t.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return NewMapper(spec)
}

const (
	sqliteDSN   = "sqlite:t.db"
	postgresDSN = "postgres://app@h/db"
	mysqlDSN    = "mysql://app@h/db"
)

func TestMapJSON(t *testing.T) {
	t.Parallel()
	columns := "decode: json\nsink: {sql: {SQL, mode: insert, columns: {v: v}}}"
	for value, want := range map[string][2]any{ // SQLite and MySQL; PostgreSQL
		`{"v":9007199254740993}`:         {int64(9007199254740993), pgInteger(9007199254740993)},
		`{"v":1.10}`:                     {"1.10", "1.10"},
		`{"v":18446744073709551615}`:     {"18446744073709551615", "18446744073709551615"},
		`{"v":-0}`:                       {"-0", "-0"},
		`{"v":1e3}`:                      {"1e3", "1e3"},
		`{"v":true}`:                     {int64(1), "true"},
		`{"v":false}`:                    {int64(0), "false"},
		`{"v":null}`:                     {nil, nil},
		`{}`:                             {nil, nil},
		`{"v":""}`:                       {"", ""},
		`{"v":"a\u00e9\n\"b"}`:           {"aé\n\"b", "aé\n\"b"},
		`{"v": {"a": [1, 2.50]}}`:        {`{"a": [1, 2.50]}`, `{"a": [1, 2.50]}`},
		`{"v":[]}`:                       {"[]", "[]"},
		`{"V":1}`:                        {nil, nil},
		"{\"v\":\"'; drop table t;--\"}": {"'; drop table t;--", "'; drop table t;--"},
	} {
		for i, dsn := range []string{sqliteDSN, postgresDSN} {
			row, err := mapperFor(t, dsn, columns).Decode(&kgo.Record{Value: []byte(value)})
			if err != nil || row.Values[0] != want[i] {
				t.Errorf("%s: %s becomes %#v, %v; want %#v", dsn, value, row.Values[0], err, want[i])
			}
		}
	}
	for _, value := range []string{"", "{", "nul", `{"v":01}`, `{"v":1}x`, "\x00", `{"v":"` + "\n" + `"}`} {
		if row, err := mapperFor(t, sqliteDSN, columns).Decode(&kgo.Record{Value: []byte(value)}); err == nil {
			t.Errorf("%q becomes %#v, want an error", value, row.Values)
		}
	}
}

func TestMapSources(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.FixedZone("", 3600))
	r := &kgo.Record{
		Key: []byte(`{"id":7,"sub":{"a":"x"}}`), Value: []byte(`{"doc":"text","n":{"m":[10,20]}}`), Partition: 3, Offset: 42, Timestamp: at,
	}
	tail := "decode: json\nsink: {sql: {SQL, mode: upsert, key: [id], columns: {id: {from: key, path: id}, " +
		"sub: {from: key, path: sub.a}, key: {from: key}, deep: n.m.1, whole: ., " +
		"quoted: {path: doc, type: jsonb}, bin: {path: doc, type: varbinary(9)}, " +
		"p: {from: partition}, o: {from: offset}, ts: {from: timestamp}}}}"
	for dsn, want := range map[string]string{
		mysqlDSN: `[]interface {}{7, "x", "{\"id\":7,\"sub\":{\"a\":\"x\"}}", 20, ` +
			`"{\"doc\":\"text\",\"n\":{\"m\":[10,20]}}", "\"text\"", []uint8{0x74, 0x65, 0x78, 0x74}, ` +
			`3, 42, time.Date(2026, time.January, 2, 2, 4, 5, 678000000, time.UTC)}`,
		sqliteDSN: `[]interface {}{7, "x", "{\"id\":7,\"sub\":{\"a\":\"x\"}}", 20, ` +
			`"{\"doc\":\"text\",\"n\":{\"m\":[10,20]}}", "\"text\"", []uint8{0x74, 0x65, 0x78, 0x74}, 3, 42, "2026-01-02 02:04:05.678"}`,
		postgresDSN: `[]interface {}{7, "x", "{\"id\":7,\"sub\":{\"a\":\"x\"}}", 20, ` +
			`"{\"doc\":\"text\",\"n\":{\"m\":[10,20]}}", "\"text\"", []uint8{0x74, 0x65, 0x78, 0x74}, 3, 42, "2026-01-02T02:04:05.678Z"}`,
	} {
		row, err := mapperFor(t, dsn, tail).Decode(r)
		if got := fmt.Sprintf("%#v", row.Values); err != nil || got != want {
			t.Errorf("%s: got %s, %v\nwant %s", dsn, got, err, want)
		}
	}

	m := mapperFor(t, sqliteDSN, tail)
	for name, bad := range map[string]*kgo.Record{
		"a key that is not JSON": {Key: []byte("x"), Value: []byte("{}")},
		"no key":                 {Value: []byte("{}")},
		"no id in the key":       {Key: []byte("{}"), Value: []byte("{}")},
		"a tombstone":            {Key: []byte(`{"id":1}`)},
	} {
		if row, err := m.Decode(bad); err == nil {
			t.Errorf("%s: got %v, want an error", name, row)
		}
	}
}

func TestMapTombstones(t *testing.T) {
	t.Parallel()
	columns := "columns: {id: {from: key}, v: v, p: {from: partition}}}}"
	del := mapperFor(t, sqliteDSN, "decode: json\nsink: {sql: {SQL, mode: upsert, key: [id], tombstone: delete, "+columns)
	row, err := del.Decode(&kgo.Record{Key: []byte("k"), Partition: 5})
	want := `pipeline.Row{Values:[]interface {}{"k", interface {}(nil), interface {}(nil)}, Tombstone:true, Rejected:false}`
	if got := fmt.Sprintf("%#v", row); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := del.Decode(&kgo.Record{}); err == nil {
		t.Error("a tombstone without a key has no row to delete")
	}
	if row, err := del.Decode(&kgo.Record{Key: []byte("k"), Value: []byte{}}); err == nil {
		t.Errorf("an empty value is no tombstone: %v", row)
	}
	skip := mapperFor(t, sqliteDSN, "decode: json\nsink: {sql: {SQL, mode: insert, tombstone: skip, "+columns)
	if row, err := skip.Decode(&kgo.Record{}); err != nil || !row.Tombstone {
		t.Errorf("got %v, %v; want a tombstone to skip", row, err)
	}
}

func TestMapCSV(t *testing.T) {
	t.Parallel()
	byNumber := mapperFor(t, sqliteDSN, "decode: csv\nsink: {sql: {SQL, mode: insert, columns: {a: 0, c: 2}}}")
	byName := mapperFor(t, sqliteDSN, "decode: {csv: {header: [a, b, c], separator: ';'}}\n"+
		"sink: {sql: {SQL, mode: insert, columns: {a: a, c: c}}}")
	for _, test := range []struct {
		m    *Mapper
		line string
		want string
	}{
		{byNumber, "1,2,3", `["1" "3"]`},
		{byNumber, "1,2,3\r\n", `["1" "3"]`},
		{byNumber, "\"x, \"\"y\"\"\",2,,4", `["x, \"y\"" <nil>]`},
		{byName, "1;2,5;3", `["1" "3"]`},
		{byName, "1;2", "error"},
		{byNumber, "1,2", "error"},
		{byNumber, "", "error"},
		{byNumber, "1,2,3\n4,5,6", "error"},
		{byNumber, "1,\"2,3", "error"},
		{byNumber, "\xff,2,3", "error"},
		{byNumber, "\ufeff1,2,3", `["1" "3"]`},
		{byNumber, "\ufeff\"1\",2,3", `["1" "3"]`},
		{byNumber, "\"a\nb\",2,3", `["a\nb" "3"]`},
		{byNumber, "\"a\nb\",2,3\r\n", `["a\nb" "3"]`},
		{byNumber, "\"1\nx,2,3", "error"},
		{byNumber, "5\" pipe,2,3", "error"},
		{byNumber, " 1 ,2, 3", `[" 1 " " 3"]`},
		{byNumber, "\"\",2,\"\"", `[<nil> <nil>]`},
		{byNumber, "\r\n", "error"},
		{byNumber, "\ufeff", "error"},
		{byName, "1;\"2;5\";3", `["1" "3"]`},
		{byName, "1;2;3;4", "error"},
	} {
		row, err := test.m.Decode(&kgo.Record{Value: []byte(test.line)})
		got := fmt.Sprintf("%q", row.Values)
		got = strings.ReplaceAll(got, "%!q(<nil>)", "<nil>")
		if err != nil {
			got = "error"
		}
		if got != test.want {
			t.Errorf("%q becomes %s, %v; want %s", test.line, got, err, test.want)
		}
	}
}

// A reason says what is wrong with the line, and never quotes it.
func TestMapCSVReasons(t *testing.T) {
	t.Parallel()
	byNumber := mapperFor(t, sqliteDSN, "decode: csv\nsink: {sql: {SQL, mode: insert, columns: {a: 0, c: 2}}}")
	byName := mapperFor(t, sqliteDSN, "decode: {csv: {header: [a, b, c]}}\nsink: {sql: {SQL, mode: insert, columns: {a: a}}}")
	for _, test := range []struct {
		m          *Mapper
		line, want string
	}{
		{byNumber, "1,2", "the line has 2 fields; column c is field 2, counted from 0"},
		{byName, "1,2", "the line has 2 fields, decode.csv.header has 3"},
		{byName, "1,2,3,4", "the line has 4 fields, decode.csv.header has 3"},
		{byNumber, "", "the value is not a line of CSV: empty"},
		{byNumber, "1,2,3\n4,5,6", "the value holds more than one line of CSV"},
		{byNumber, "1,\"2,3", `the value is not a line of CSV: extraneous or missing " in quoted-field`},
		{byNumber, "5\" pipe,2,3", `the value is not a line of CSV: bare " in non-quoted-field`},
		{byNumber, "\xff,2,3", "the value is not CSV: not UTF-8"},
	} {
		if _, err := test.m.Decode(&kgo.Record{Value: []byte(test.line)}); fmt.Sprint(err) != test.want {
			t.Errorf("%q: %v; want %s", test.line, err, test.want)
		}
	}
}

func TestMapRaw(t *testing.T) {
	t.Parallel()
	m := mapperFor(t, sqliteDSN, "decode: raw\nsink: {sql: {SQL, mode: insert, columns: {v: ., b: {type: blob}, k: {from: key}}}}")
	row, err := m.Decode(&kgo.Record{Value: []byte("a\xffb")})
	want := `[]interface {}{"a\xffb", []uint8{0x61, 0xff, 0x62}, interface {}(nil)}`
	if got := fmt.Sprintf("%#v", row.Values); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// No record makes the mapper panic, change the record or quote it, and what it accepts has a value for every column.
func FuzzMap(f *testing.F) {
	f.Add([]byte(`{"id":1,"v":[1.10,{"a":null}]}`), []byte(`{"id":"k"}`))
	f.Add([]byte("1,\"a\nb\",3"), []byte("key"))
	f.Add([]byte(nil), []byte(nil))
	var mappers []*Mapper
	for _, dsn := range []string{sqliteDSN, postgresDSN} {
		for _, decode := range []string{"json", "csv"} {
			mappers = append(mappers, mapperFor(f, dsn, "decode: "+decode+
				"\nsink: {sql: {SQL, mode: upsert, key: [id], columns: "+
				"{id: 0, k: {from: key, path: id}, v: {path: 2, type: json}, w: {path: 1, type: blob}}}}"))
		}
	}
	mappers = append(mappers, mapperFor(f, sqliteDSN, "decode: json\n"+
		"transform: {filter: '!has(value.skip)', set: {v: value.v, w: 'value.items.map(i, i * 2)[0]'}}\n"+
		"sink: {sql: {SQL, mode: upsert, key: [id], columns: {id: id, k: {from: key}, v: {from: set}, w: {from: set}}}}"))
	f.Add([]byte(`{"id":1,"v":1e400,"items":[0.1234567890123456789]}`), []byte("k"))
	f.Fuzz(func(t *testing.T, value, key []byte) {
		v, k := string(value), string(key)
		for _, m := range mappers {
			row, err := m.Decode(&kgo.Record{Key: key, Value: value})
			if err == nil && !row.Rejected && (len(row.Values) != 4 || row.Values[0] == nil) {
				t.Errorf("accepted without an id: %#v", row)
			}
		}
		if string(value) != v || string(key) != k {
			t.Error("the record was changed")
		}
	})
}
