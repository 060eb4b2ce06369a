package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A commit waits until the client shows what was written, and no error of an earlier look ends that.
func TestInvariant12ACommitWaitsForTheClientToShowWhatItWrote(t *testing.T) {
	o := newOutputs()
	o.wrote("bills", 3)
	looks := 0
	leader := func(topic string, partition int32) (int32, int32, error) {
		if topic != "bills" || partition != 3 {
			t.Errorf("it looks at %s[%d]", topic, partition)
		}
		switch looks++; looks {
		case 1:
			return -1, -1, kerr.UnknownTopicOrPartition
		case 2:
			return -1, -1, nil
		default:
			return 1, 0, nil
		}
	}
	if err := o.show(t.Context(), leader); err != nil || looks != 3 {
		t.Fatalf("invariant 12: it waits for %d looks: %v", looks, err)
	}
	o.wrote("bills", 0)
	if err := o.show(t.Context(), leader); err != nil || looks != 3 {
		t.Errorf("what is shown is looked at again: %d looks, %v", looks, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o.wrote("dead", 0)
	hidden := func(string, int32) (int32, int32, error) { return -1, -1, nil }
	for range 2 { // it is not forgotten, either
		if err := o.show(ended, hidden); !errors.Is(err, context.Canceled) {
			t.Errorf("invariant 12: what is not shown is committed: %v", err)
		}
	}
}
