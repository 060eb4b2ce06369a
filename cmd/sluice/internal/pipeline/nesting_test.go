package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// JSON that is nested too deep is poison before the parser, which calls itself for each level, meets it; in a dry run, too.
func TestNestedTooDeep(t *testing.T) {
	t.Parallel()
	spec, err := Parse("t.yaml", []byte("name: t\nsource: {topics: [t]}\ndecode: json\n"+
		"sink: {sql: {dsn: 'sqlite:t.db', table: t, mode: insert, columns: {v: ., k: {from: key, path: a}}}}"), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMapper(spec)
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	for name, c := range map[string]struct{ value, key, want string }{
		"as deep as may be":   {value: nested(maxNesting)},
		"too deep":            {value: nested(maxNesting + 1), want: "the value is nested deeper than 10,000 levels"},
		"would overflow":      {value: strings.Repeat("[", 20<<20), want: "the value is nested deeper than 10,000 levels"},
		"objects":             {value: strings.Repeat(`{"a":`, maxNesting+1) + "1", want: "the value is nested deeper than 10,000 levels"},
		"key":                 {value: "1", key: nested(maxNesting + 1), want: "column k: the record's key is nested deeper than 10,000 levels"},
		"side by side":        {value: "[" + strings.Repeat("[],", maxNesting) + "{}]"},
		"in a string":         {value: `"` + strings.Repeat(`[\"`, maxNesting+1) + `"`},
		"behind strings":      {value: `["\\",` + nested(maxNesting) + "]", want: "the value is nested deeper than 10,000 levels"},
		"a string left open":  {value: `"` + strings.Repeat("[", maxNesting+1), want: "the value is not JSON"},
		"open behind a slash": {value: strings.Repeat("[],", maxNesting) + `"\`, want: "the value is not JSON"},
	} {
		r := &kgo.Record{Value: []byte(c.value)}
		if c.key != "" {
			r.Key = []byte(c.key)
		}
		if _, err := m.Decode(r); fmt.Sprint(err) != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if p := m.preview(spec, r); p.Reason != c.want {
			t.Errorf("%s: a dry run says %q, want %q", name, p.Reason, c.want)
		}
	}
}

// What counting costs a large record, beside BenchmarkDecode for small ones.
func BenchmarkNesting(b *testing.B) {
	one := `{"id":"order-1","status":"paid","items":[{"sku":"a-1","quantity":1}]},`
	for name, times := range map[string]int{"few": 200, "many": 15_000} {
		value := []byte("[" + strings.Repeat(one, times) + "0]")
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if nestedTooDeep(value) {
					b.Fatal("it is not")
				}
			}
		})
	}
}
