package main

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestDebeziumIsLeftOutWithoutItsTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := (&stage{}).fetchDebezium(t.Context()); !errors.Is(err, errLeftOut) {
		t.Error(err)
	}
}

func TestOrderSchemaNamesEveryField(t *testing.T) {
	var schema struct {
		Fields []struct {
			Field string `json:"field"`
		} `json:"fields"`
	}
	if err := json.Unmarshal([]byte(orderSchema), &schema); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(newOrder(1).json(), &o); err != nil {
		t.Fatal(err)
	}
	for _, f := range schema.Fields {
		delete(o, f.Field)
	}
	if len(o) > 0 {
		t.Errorf("no type for %v", o)
	}
}
