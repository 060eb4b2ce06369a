package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func TestATopicWithoutNameOrEncoderIsRefused(t *testing.T) {
	_, err := sluice.NewTopic(nil, sluice.TopicConfig[Order]{})
	var fields []string
	for _, e := range mistakesOf(t, err) {
		fields = append(fields, e.Field)
	}
	if fmt.Sprint(fields) != "[TopicConfig.Name TopicConfig.Encode]" || !errors.Is(err, sluice.ErrConfig) {
		t.Errorf("%v", err)
	}
}

func TestATopicWritesValuesWithKeysHeadersAndTombstones(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		orders, err := sluice.NewTopic(p, sluice.TopicConfig[Order]{
			Name: "orders", Encode: sluice.EncodeJSON[Order],
			Key: func(o Order) []byte { return []byte(o.Customer) },
			Headers: func(o Order) []kgo.RecordHeader {
				return []kgo.RecordHeader{{Key: "cents", Value: fmt.Append(nil, o.Cents)}}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := orders.Send(t.Context(), Order{"ann", 5}, Order{"bob", 7}); err != nil {
			t.Fatal(err)
		}
		told := errors.New("not told")
		orders.Enqueue(t.Context(), Order{"cid", 9}, func(_ *kgo.Record, err error) { told = err })
		if err := errors.Join(orders.Tombstone(t.Context(), []byte("ann"), []byte{}), p.Flush(t.Context()), told); err != nil {
			t.Fatal(err)
		}
		if failed := failures(t, orders.Tombstone(t.Context(), []byte("x"), nil)); len(failed) != 1 || failed[0].Index != 1 {
			t.Errorf("a tombstone without a key: %v", failed)
		}
		closeProducer(t, p)
		var lines []string
		for _, r := range c.Read("orders") {
			line := fmt.Sprintf("%s=%s", r.Key, r.Value)
			if r.Value == nil {
				line = fmt.Sprintf("%s: deleted", r.Key)
			}
			for _, h := range r.Headers {
				line += fmt.Sprintf(" %s:%s", h.Key, h.Value)
			}
			lines = append(lines, line)
		}
		want := `ann={"customer":"ann","cents":5} cents:5
bob={"customer":"bob","cents":7} cents:7
cid={"customer":"cid","cents":9} cents:9
ann: deleted
: deleted
x: deleted`
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestAValueThatCannotBeEncodedFailsAlone(t *testing.T) {
	bubble.Run(t, map[string]int32{"prices": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer closeProducer(t, p)
		prices, err := sluice.NewTopic(p, sluice.TopicConfig[any]{Name: "prices", Encode: sluice.EncodeJSON[any]})
		if err != nil {
			t.Fatal(err)
		}
		err = prices.Send(t.Context(), 1, func() {}, 3)
		failed := failures(t, err)
		if len(failed) != 1 || failed[0].Index != 1 || !strings.Contains(err.Error(), "record 1 of the call, for topic prices: encode JSON: ") {
			t.Errorf("%v", err)
		}
		told := make(chan error, 1)
		prices.Enqueue(context.Background(), func() {}, func(_ *kgo.Record, err error) { told <- err })
		if err := <-told; err == nil || !strings.Contains(err.Error(), "encode JSON") {
			t.Errorf("Enqueue: %v", err)
		}
		if n := len(c.Read("prices")); n != 2 {
			t.Errorf("%d records, want 2", n)
		}
	})
}

func TestRawAndTextValues(t *testing.T) {
	if b, err := sluice.EncodeRaw(nil); b != nil || err != nil {
		t.Errorf("%v, %v", b, err)
	}
	if b, err := sluice.EncodeText(""); b == nil || len(b) != 0 || err != nil {
		t.Errorf("an empty text is no tombstone: %v, %v", b, err)
	}
}
