package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/sluicetest"
)

// What the service answers decides what becomes of an order.
func TestCharging(t *testing.T) {
	for _, test := range []struct {
		answers []int // in turn; the last one for ever
		want    sluicetest.Kind
		calls   int
	}{
		{[]int{200}, sluicetest.Finished, 1},
		{[]int{503, 429, 200}, sluicetest.Finished, 3},
		{[]int{400}, sluicetest.DeadLettered, 1},
		{[]int{500}, sluicetest.DeadLettered, 5},
	} {
		t.Run(fmt.Sprint(test.answers), func(t *testing.T) {
			var keys []string
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(test.answers[min(len(keys), len(test.answers)-1)])
				keys = append(keys, r.Header.Get("Idempotency-Key"))
			}))
			defer service.Close()
			got := sluicetest.Deliver(t, charging("orders", "orders.dlq", service.Client(), service.URL),
				&kgo.Record{Key: []byte("ann"), Value: []byte(`{"id":1,"customer":"ann","amount":500}`)})
			if got[0].Kind != test.want || got[0].Attempts != test.calls || len(keys) != test.calls {
				t.Errorf("%d calls, %v", len(keys), got[0])
			}
			if keys[0] == "" || len(slices.Compact(keys)) != 1 {
				t.Errorf("the keys differ, so that the service would charge twice: %q", keys)
			}
		})
	}
}

// A service that is away is an outage, whatever Retry says: no order goes to the dead letters, and the customer's next one waits.
func TestChargingWaitsForTheService(t *testing.T) {
	service := httptest.NewServer(http.NotFoundHandler())
	service.Close()
	order := func() *kgo.Record {
		return &kgo.Record{Key: []byte("ann"), Value: []byte(`{"id":1,"customer":"ann","amount":500}`)}
	}
	got := sluicetest.Deliver(t, charging("orders", "orders.dlq", service.Client(), service.URL), order(), order())
	if got[0].Kind != sluicetest.Outage || got[1].Kind != sluicetest.NotGiven {
		t.Error(got)
	}
}
