package pipeline

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// computing makes a mapper with one column, v, that an expression computes.
func computing(t testing.TB, dsn, decode, sqlType, expression string) *Mapper {
	t.Helper()
	quoted := "'" + strings.ReplaceAll(expression, "'", "''") + "'"
	return mapperFor(t, dsn, "decode: "+decode+"\ntransform: {set: {v: "+quoted+"}}\n"+
		"sink: {sql: {SQL, mode: insert, columns: {v: {from: set, type: '"+cmp.Or(sqlType, "numeric")+"'}}}}")
}

func filtering(t testing.TB, decode, filter string) *Mapper {
	t.Helper()
	quoted := "'" + strings.ReplaceAll(filter, "'", "''") + "'"
	return mapperFor(t, sqliteDSN, "decode: "+decode+"\ntransform: {filter: "+quoted+"}\n"+
		"sink: {sql: {SQL, mode: insert, columns: {k: {from: key}}}}")
}

// The spelling of a number decides nothing, digits are kept, and what would be rounded in silence is poison.
func TestComputedNumbers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value, expression string
		want              any // nil: poison
	}{
		{`{"a":3,"b":1.5}`, "value.a * value.b", "4.5"},
		{`{"a":3,"b":2}`, "value.a * value.b", int64(6)},
		{`{"a":3.0,"b":2e0}`, "value.a * value.b", int64(6)},
		{`{"a":1.5,"b":2}`, "value.a * value.b", int64(3)},
		{`{"a":7,"b":2}`, "value.a / value.b", "3.5"},
		{`{"a":7.0,"b":2}`, "value.a / value.b", "3.5"},
		{`{"a":8,"b":2}`, "value.a / value.b", int64(4)},
		{`{"a":-7,"b":2}`, "int(value.a / value.b)", int64(-3)},
		{`{"a":7,"b":0}`, "value.a / value.b", nil},
		{`{"a":7,"b":0.0}`, "value.a / value.b", nil},
		{`{"a":7.5,"b":0}`, "value.a / value.b", nil},
		{`{"a":0.5,"b":0.5}`, "1 / (value.a - value.b)", nil},
		{`{"a":7,"b":4}`, "value.a % value.b", int64(3)},
		{`{"a":7.0,"b":4}`, "value.a % value.b", int64(3)},
		{`{"a":7.5,"b":4}`, "value.a % value.b", nil},
		{`{"a":2}`, "value.a - 0.5", "1.5"},
		{`{"a":2}`, "2.5 + value.a", "4.5"},
		{`{"a":2}`, "-value.a", int64(-2)},
		{`{"a":9007199254740993}`, "value.a", int64(9007199254740993)},
		{`{"a":9007199254740993}`, "value.a + 1", int64(9007199254740994)},
		{`{"a":9007199254740993}`, "value.a + 0.5", nil},
		{`{"a":9007199254740993}`, "value.a / 2", nil},
		{`{"a":9223372036854775807}`, "value.a + 1", nil},
		{`{"a":-9223372036854775808}`, "value.a / -1", nil},
		{`{"a":18446744073709551615}`, "value.a", "18446744073709551615"},
		{`{"a":1.10}`, "value.a", "1.1"},
		{`{"a":0.30000000000000004}`, "value.a", "0.30000000000000004"},
		{`{"a":1e21}`, "value.a", "1e+21"},
		{`{"a":1e-7}`, "value.a", "1e-07"},
		{`{"a":123456789.123456789123}`, "value.a", "123456789.123456789123"},
		{`{"a":123456789.123456789123}`, "value.a + 1", nil},
		{`{"a":123456789.123456789123}`, "1 + value.a", nil},
		{`{"a":123456789.123456789123}`, "value.a < 1", nil},
		{`{"a":123456789.123456789123}`, "1 < value.a", nil},
		{`{"a":123456789.123456789123}`, "double(value.a)", "123456789.12345679"},
		{`{"a":1e999}`, "value.a", "1e999"},
		{`{"a":1e999}`, "double(value.a)", nil},
		{`{"a":1e99999999999999999999}`, "value.a", "1e99999999999999999999"},
		{`{"a":1e308}`, "value.a * 10.0", nil},
		{`{"a":0.1234567890123456789,"b":1234567890123456789e-19}`, "value.a == value.b", int64(1)},
		{`{"a":0.1234567890123456789,"b":-0.1234567890123456789}`, "value.a == value.b", int64(0)},
		{`{"a":2.0}`, "value.a == 2 && value.a in [1, 2] && value.a < 2.5 && 1.5 < value.a", int64(1)},
	} {
		row, err := computing(t, sqliteDSN, "json", "", test.expression).Decode(&kgo.Record{Value: []byte(test.value)})
		switch {
		case test.want == nil && err == nil:
			t.Errorf("%s of %s gives %#v, want poison", test.expression, test.value, row.Values[0])
		case test.want != nil && (err != nil || row.Values[0] != test.want):
			t.Errorf("%s of %s gives %#v, %v; want %#v", test.expression, test.value, row.Values[0], err, test.want)
		}
	}
}

// A computed value reaches the driver as one of the record's own does.
func TestComputedTypes(t *testing.T) {
	t.Parallel()
	record := &kgo.Record{
		Topic: "orders", Partition: 3, Offset: 42, Key: []byte("k"), Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		Value: []byte(`{"name":"Ann \"A\"","yes":true,"none":null,"n":5}`),
		Headers: []kgo.RecordHeader{
			{Key: "h", Value: []byte("first")}, {Key: "h", Value: []byte("last")}, {Key: "b", Value: []byte{0xff}}, {Key: "z"},
		},
	}
	for _, test := range []struct{ dsn, sqlType, expression, want string }{
		{sqliteDSN, "", "value.name.upperAscii()", `"ANN \"A\""`},
		{sqliteDSN, "json", "value.name", `"\"Ann \\\"A\\\"\""`},
		{sqliteDSN, "blob", "value.name", `[]byte{0x41, 0x6e, 0x6e, 0x20, 0x22, 0x41, 0x22}`},
		{sqliteDSN, "", "value.yes", "1"},
		{postgresDSN, "", "value.yes", `"true"`},
		{postgresDSN, "json", "value.yes", `"true"`},
		{postgresDSN, "", "value.n + 1", "6"},
		{postgresDSN, "json", "value.n + 1", `"6"`},
		{sqliteDSN, "", "value.none", "<nil>"},
		{sqliteDSN, "", "value.?missing", "<nil>"},
		{sqliteDSN, "", "value.?n", "5"},
		{sqliteDSN, "", "value.?missing.orValue(7)", "7"},
		{sqliteDSN, "", "has(value.missing) ? value.missing : 'x'", `"x"`},
		{sqliteDSN, "", "topic + '/' + string(partition) + '/' + string(offset) + '/' + key", `"orders/3/42/k"`},
		{sqliteDSN, "", "headers['h']", `"last"`},
		{sqliteDSN, "blob", "headers['b']", `[]byte{0xff}`},
		{sqliteDSN, "", "headers['z']", "<nil>"},
		{sqliteDSN, "", "timestamp - duration('1h')", `"2026-01-02 02:04:05.678"`},
		{postgresDSN, "json", "timestamp", `"\"2026-01-02T03:04:05.678Z\""`},
		{sqliteDSN, "", "math.round(value.n / 2)", "3"},
		{sqliteDSN, "", "value", "poison"},
		{sqliteDSN, "", "dyn([1])", "poison"},
		{sqliteDSN, "", "dyn(duration('1h'))", "poison"},
	} {
		row, err := computing(t, test.dsn, "json", test.sqlType, test.expression).Decode(record)
		got := strings.ReplaceAll(fmt.Sprintf("%#v", row.Values[0]), "[]uint8", "[]byte")
		if err != nil {
			got = "poison"
		}
		if got != test.want {
			t.Errorf("%s for a column of type %q gives %s, %v; want %s", test.expression, test.sqlType, got, err, test.want)
		}
	}
}

// What each format's value is to an expression.
func TestFilterByFormat(t *testing.T) {
	t.Parallel()
	const header = "{csv: {header: [id, name]}}"
	for _, test := range []struct {
		decode, filter, value string
		want                  string
	}{
		{"json", "value.status == 'paid'", `{"status":"paid"}`, "goes on"},
		{"json", "value.status == 'paid'", `{"status":"open"}`, "rejected"},
		{"json", "value.status == 'paid'", `{"status":null}`, "rejected"},
		{"json", "value.status == 'paid'", `{}`, "poison"},
		{"json", "value.?status == optional.of('paid')", `{}`, "rejected"},
		{"json", "value.a", `{"a":true}`, "goes on"},
		{"json", "value.a", `{"a":"true"}`, "poison"},
		{"json", "value.a.b[1] == 2", `{"a":{"b":[1,2]}}`, "goes on"},
		{"json", "value == 5", `5`, "goes on"},
		{"json", "value.a == 1", `{"a":1,"a":2}`, "goes on"}, // the first one, as for a path
		{"json", "value.items.exists(i, i.n > 1)", `{"items":[{"n":1},{"n":2}]}`, "goes on"},
		{"json", "value.a.a == 1", `{"a":{"a":1,"a":2,"b":0,"c":0,"d":0,"e":0}}`, "goes on"},
		{"json", "value.b + value.c + value.d + value.e + value.f == 14 && value.a == 1", `{"a":1,"a":2,"b":2,"c":2,"d":2,"e":3,"f":5}`, "goes on"},
		{"json", "size(value) == 2 && 'a' in value && !('c' in value) && !has(value.c)", `{"a":1,"b":2,"a":3}`, "goes on"},
		{"json", "value.exists(k, value[k] == 2)", `{"a":1,"b":2}`, "goes on"},
		{"json", "value.x == value.y && value == {'x': value.x, 'y': {'a': 1, 'b': [2]}}", `{"x":{"b":[2.0],"a":1},"y":{"a":1.0,"b":[2]}}`, "goes on"},
		{"json", "value.x == value.y", `{"x":{"a":1},"y":{"a":2}}`, "rejected"},
		{"json", "value[1] == 5", `{"1":5}`, "poison"},
		{"json", "value['\u00e4\"'] == 5", `{"\u00e4\"":5}`, "goes on"},
		{"json", "value.a", `[1]`, "poison"},
		{"json", "true", `{`, "poison"},
		{header, "value.name != '' && value['id'] == '1'", "1,Ann", "goes on"},
		{header, "value.name != ''", "1,", "rejected"},
		{header, "true", "1", "poison"},
		{"csv", "value[1] == 'Ann' && size(value) == 2", "1,Ann", "goes on"},
		{"csv", "value[1] == 'Ann'", "1", "poison"},
		{"raw", "value.contains('ERROR')", "an ERROR", "goes on"},
		{"raw", "value.contains('ERROR')", "\xff", "poison"},
		{"raw", "key == null", "\xff", "goes on"},
		{"raw", "value.matches('^[a-z]+$')", "abc", "goes on"},
	} {
		row, err := filtering(t, test.decode, test.filter).Decode(&kgo.Record{Value: []byte(test.value)})
		got := map[bool]string{true: "rejected", false: "goes on"}[row.Rejected]
		if err != nil {
			got = "poison"
		}
		if got != test.want {
			t.Errorf("%s: %s of %q: %s, %v; want %s", test.decode, test.filter, test.value, got, err, test.want)
		}
	}
}

// A tombstone has no value, so neither filter nor set is asked.
func TestTransformLetsTombstonesThrough(t *testing.T) {
	t.Parallel()
	m := mapperFor(t, sqliteDSN, "decode: json\ntransform: {filter: value.ok, set: {v: value.v}}\n"+
		"sink: {sql: {SQL, mode: upsert, key: [id], tombstone: delete, columns: {id: {from: key}, v: {from: set}}}}")
	row, err := m.Decode(&kgo.Record{Key: []byte("k")})
	if err != nil || !row.Tombstone || row.Rejected || row.Values[0] != "k" {
		t.Errorf("got %+v, %v; want the tombstone of k", row, err)
	}
}

// Why a record is poison is told in words that hold nothing of it.
func TestPoisonReasons(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	value := `{"text":"s3cr3t","n":1,"s3cr3t":1,"list":[1],"deep":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`
	deep := "value.deep" + strings.Repeat("[0]", 150)
	for expression, want := range map[string]string{
		"value.missing":                "this record has no field missing; has(...) asks whether it is there",
		"value[value.text + '!']":      "this record has no field of the name that the expression looks up",
		"int(value.text)":              "a value cannot be converted as the expression asks",
		"timestamp(value.text)":        "a text is no time as in 2026-01-31T08:00:00Z",
		"string(duration(value.text))": "a value cannot be converted as the expression asks",
		"double(value.text)":           "a value cannot be converted as the expression asks",
		"value.text * 2":               "a value is not of the type that the expression takes it for (no such overload)",
		"value.list[5]":                "a list is shorter than the expression takes it for",
		"value.n / 0":                  "division by zero",
		"value.n % 0":                  "modulus by zero",
		"value":                        "it gives map, not one value that a column can take",
		deep:                           "the value is nested deeper than 100 levels",
		"value.text.substring(100)":    "a value is not what the expression takes it for",
	} {
		m := computing(t, sqliteDSN, "json", "", expression)
		_, err := m.Decode(&kgo.Record{Value: []byte(value)})
		if want = "column v: transform.set.v: " + want; fmt.Sprint(err) != want {
			t.Errorf("%.40s: %v; want %s", expression, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%.40s tells the record: %v", expression, err)
		}
	}
	_, err := filtering(t, "json", "value.text").Decode(&kgo.Record{Value: []byte(value)})
	if want := "transform.filter: it gives string, not true or false"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Neither lists within lists nor large texts in a loop keep a partition for long: the steps are bounded.
func TestCostIsBounded(t *testing.T) {
	t.Parallel()
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + "]"
	text := strings.Repeat("x", 1<<16)
	value := []byte(`{"list":` + list + `,"text":"` + text + `"}`)
	for _, expression := range []string{
		"value.list.all(a, value.list.all(b, value.list.all(c, a + b + c > 0)))",
		"value.list.map(a, value.text + value.text).size() > 0",
		"value.list.all(a, value.text.upperAscii() != 'x')",
		"value.list.all(a, value.list.map(b, b) == value.list.map(b, b))",
	} {
		_, err := filtering(t, "json", expression).Decode(&kgo.Record{Value: value})
		if want := "transform.filter: it takes more than 100000 steps for this record"; fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", expression, err, want)
		}
	}
	if row, err := filtering(t, "json", "value.list.all(a, a == 1)").Decode(&kgo.Record{Value: value}); err != nil || row.Rejected {
		t.Errorf("a list of 1000 is too much: %v", err)
	}
}

// An expression is compiled once and used by every partition at once.
func TestExpressionsAreShared(t *testing.T) {
	t.Parallel()
	m := computing(t, sqliteDSN, "json", "", "value.list.map(i, i * value.n)[1] + (value.n > 5 ? 100 : 0)")
	var bad []*Mapper // the last three fail with errors that the library shares among evaluations
	for _, expression := range []string{"value.n + key", "value.n < key", "string(timestamp(int(key)))", "math.abs(int(key))"} {
		bad = append(bad, computing(t, sqliteDSN, "json", "", expression))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 200 {
				row, err := m.Decode(&kgo.Record{Value: fmt.Appendf(nil, `{"n":%d,"list":[1,2]}`, g)})
				want := int64(2 * g)
				if g > 5 {
					want += 100
				}
				if err != nil || row.Values[0] != want {
					t.Errorf("for %d: %v, %v; want %d", g, row.Values, err, want)
					return
				}
				for i, m := range bad {
					if _, err := m.Decode(&kgo.Record{Key: []byte("-9223372036854775808"), Value: []byte(`{"n":1}`)}); err == nil {
						t.Errorf("the bad expression %d has a value", i)
					}
				}
			}
		})
	}
	wg.Wait()
}

// Paths are taken as ever beside a transform: nothing of them goes through an expression.
func TestTransformHarmsNothingElse(t *testing.T) {
	t.Parallel()
	m := mapperFor(t, sqliteDSN, "decode: json\ntransform: {filter: 'value.d > 0', set: {t: value.d * 2}}\n"+
		"sink: {sql: {SQL, mode: insert, columns: {d: d, i: i, l: l, t: {from: set}}}}")
	row, err := m.Decode(&kgo.Record{Value: []byte(`{"d":1.10,"i":9007199254740993,"l":0.12345678901234567890}`)})
	want := `[]interface {}{"1.10", 9007199254740993, "0.12345678901234567890", "2.2"}`
	if got := fmt.Sprintf("%#v", row.Values); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
