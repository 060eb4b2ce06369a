package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

func copierFor(t testing.TB, decode, topic string) *Copier {
	t.Helper()
	text := "name: t\nsource: {topics: [t]}\ndecode: " + decode + "\nsink:\n  topic:\n    name: out\n" + topic
	spec, err := Parse("t.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return NewCopier(spec)
}

func TestTopicFile(t *testing.T) {
	t.Parallel()
	spec, err := Load("testdata/good/topic.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if !spec.ToTopic() || spec.Delivery != ExactlyOnce || spec.Interval != 50*time.Millisecond || spec.Ordering != sluice.ByKey ||
		spec.Commit != (sluice.Commit{}) {
		t.Errorf("it reads as %+v", spec)
	}
	if _, err := spec.Consumer(sluice.Config{ReadUncommitted: true}); err == nil || !strings.Contains(err.Error(), "isolation.level") {
		t.Errorf("with read_uncommitted: %v", err)
	}
	spec.Delivery = AtLeastOnce
	if _, err := spec.Consumer(sluice.Config{ReadUncommitted: true}); err != nil {
		t.Errorf("at least once, with read_uncommitted: %v", err)
	}
}

// Without expressions a record arrives byte by byte as it was, empty and null told apart.
func TestCopyAsItIs(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1769846400123)
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte{0xff}}, {Key: "a"}, {Key: "", Value: []byte{}}}
	for _, r := range []kgo.Record{
		{Key: []byte{0xff, 0}, Value: []byte{0xfe}}, {Value: []byte{}}, {Key: []byte{}, Value: nil}, {Value: []byte(" x ")},
	} {
		r.Timestamp, r.Headers, r.Topic, r.Partition, r.Offset = at, headers, "t", 3, 7
		to, err := copierFor(t, "raw", "").Decode(&r)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%#v %#v %#v %v", r.Key, r.Value, r.Headers, at)
		if got := fmt.Sprintf("%#v %#v %#v %v", to.Key, to.Value, to.Headers, to.Timestamp); got != want || to.Topic != "out" {
			t.Errorf("%s becomes %s of %s", want, got, to.Topic)
		}
	}
}

func TestCopyExpressions(t *testing.T) {
	t.Parallel()
	record := func() *kgo.Record {
		return &kgo.Record{
			Topic: "t", Partition: 3, Offset: 7, Key: []byte("k1"), Timestamp: time.UnixMilli(1769846400123),
			Headers: []kgo.RecordHeader{{Key: "from", Value: []byte("shop")}, {Key: "raw", Value: []byte{0xff}}},
			Value: []byte(`{"id":9007199254740993,"long":12345678901234567890123,"price":1.50,"who":{"n":1.50,"b" : "<é\u0000>"},` +
				`"list":[1,{"x":2.0}],"none":null,"text":"","yes":true}`),
		}
	}
	for expression, want := range map[string]string{
		`"a" + key`:           "ak1",
		`value.id`:            "9007199254740993",
		`value.long`:          "12345678901234567890123",
		`value.price`:         "1.5",
		`value.price * 2`:     "3",
		`0.1 + 0.2`:           "0.30000000000000004",
		`1e30 * 1.0`:          "1e+30",
		`value.yes`:           "true",
		`value.text`:          "",
		`value.none`:          "null",
		`null`:                "null",
		`value.?absent`:       "null",
		`value.?who.?n`:       "1.5",
		`value.who`:           `{"n":1.50,"b" : "<é\u0000>"}`,
		`value.who.b`:         "<é\x00>",
		`value.list`:          `[1,{"x":2.0}]`,
		`headers["raw"]`:      "\xff",
		`b""`:                 "",
		`timestamp`:           "2026-01-31T08:00:00.123Z",
		`[partition, offset]`: "[3,7]",
		`{"z": value.who.b, "a": [value.?absent, value.?id, timestamp, b"\xff", null]}`: `{"a":[null,9007199254740993,"2026-01-31T08:00:00.123Z","/w==",null],"z":"<é\u0000>"}`,
		`{"h": headers["from"], "long": value.long}`:                                    `{"h":"shop","long":12345678901234567890123}`,
		`{1: 2}`:                "error: a map of it has a key that is no text, and so is not JSON",
		`{"a": headers["raw"]}`: `{"a":"/w=="}`,
		`value.absent`:          "error: this record has no field absent; has(...) asks whether it is there",
		`double("NaN")`:         "error: it gives NaN, which nothing can take",
	} {
		for _, field := range []string{"key", "value"} {
			to, err := copierFor(t, "json", "    "+field+": '"+strings.ReplaceAll(expression, "'", "''")+"'\n").Decode(record())
			if err != nil {
				if got := "error: " + strings.TrimPrefix(err.Error(), "sink.topic."+field+": "); got != want {
					t.Errorf("%s: %s: %s, want %s", field, expression, got, want)
				}
				continue
			}
			got, other := to.Key, to.Value
			if field == "value" {
				got, other = to.Value, to.Key
			}
			text := string(got)
			if got == nil {
				text = "null"
			}
			if text != want || len(other) == 0 {
				t.Errorf("%s: %s becomes %q, want %q; the other is %q", field, expression, text, want, other)
			}
		}
	}
}

// A tombstone stays one whatever makes the value, and no filter is asked. Its key can be made of all but the value.
func TestCopyTombstones(t *testing.T) {
	t.Parallel()
	c := copierFor(t, "json", "    key: 'key + \"/\" + topic'\n    value: value.id\ntransform: {filter: value.id > 5}\n")
	to, err := c.Decode(&kgo.Record{Topic: "t", Key: []byte("k")})
	if err != nil || to.Value != nil || string(to.Key) != "k/t" {
		t.Errorf("it becomes %+v, %v", to, err)
	}
	for _, format := range []string{"json", "raw", "csv", "{csv: {header: [id]}}"} {
		key := map[string]string{"json": "value.id", "raw": "value", "csv": "value[0]"}[format]
		if key == "" {
			key = "value.id"
		}
		_, err = copierFor(t, format, "    key: "+key+"\n").Decode(&kgo.Record{Topic: "t", Key: []byte("k")})
		if err == nil || err.Error() != "sink.topic.key: the record has no value (a tombstone)" {
			t.Errorf("%s: %v", format, err)
		}
	}
	for value, want := range map[string]bool{`{"id":5}`: false, `{"id":6}`: true} {
		if to, err := c.Decode(&kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte(value)}); err != nil || (to != nil) != want {
			t.Errorf("%s becomes %+v, %v", value, to, err)
		}
	}
	if _, err := c.Decode(&kgo.Record{Topic: "t", Value: []byte("s3cr3t")}); err == nil || err.Error() != "the value is not JSON" {
		t.Errorf("what is not JSON: %v", err)
	}
}

// What is not UTF-8 would not be JSON, and is not changed in silence.
func TestCopyRefusesWhatIsNoText(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{"[value.a]", "{value.a: 1}", "[value]"} {
		c := copierFor(t, "json", "    value: '"+expression+"'\n")
		to, err := c.Decode(&kgo.Record{Value: []byte("{\"a\":\"\xff\"}")})
		if err == nil && expression != "[value]" || err != nil && !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%s becomes %+v, %v", expression, to, err)
		}
	}
	deep := `{"a":` + strings.Repeat("[", 150) + strings.Repeat("]", 150) + `}`
	_, err := copierFor(t, "json", "    value: '[value.a]'\n").Decode(&kgo.Record{Value: []byte(deep)})
	if err == nil || !strings.Contains(err.Error(), tooDeep) {
		t.Errorf("what is nested too deep: %v", err)
	}
}
