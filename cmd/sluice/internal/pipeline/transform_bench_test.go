package pipeline

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What a transform costs a record: docs/pipeline.md has the figures.
func BenchmarkDecode(b *testing.B) {
	record := &kgo.Record{
		Topic: "orders", Key: []byte("order-1"),
		Value: []byte(`{"id":"order-1","status":"paid","quantity":3,"price":1.10,"customer":{"name":"Ann","email":"Ann@Example.com"},` +
			`"items":[{"sku":"a-1","quantity":1},{"sku":"b-2","quantity":2}],"note":"the quick brown fox jumps over the lazy dog"}`),
	}
	const columns = "sink: {sql: {SQL, mode: insert, columns: {id: id, status: status, name: customer.name"
	for _, c := range []struct{ name, tail string }{
		{"plain", "decode: json\n" + columns + "}}}"},
		{"filter", "decode: json\ntransform: {filter: value.status == 'paid'}\n" + columns + "}}}"},
		{"set", "decode: json\ntransform: {set: {total: value.quantity * value.price}}\n" + columns + ", total: {from: set}}}}"},
		{"both", "decode: json\ntransform: {filter: value.status == 'paid', set: {total: value.quantity * value.price}}\n" +
			columns + ", total: {from: set}}}}"},
		{"list", "decode: json\ntransform: {filter: 'value.items.exists(i, i.sku.startsWith(\"b-\"))'}\n" + columns + "}}}"},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := mapperFor(b, sqliteDSN, c.tail)
			b.ReportAllocs()
			for b.Loop() {
				if row, err := m.Decode(record); err != nil || row.Rejected {
					b.Fatal(row, err)
				}
			}
		})
	}
}
