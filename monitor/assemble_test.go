package monitor

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A group whose coordinator does not answer, or has gone, is not taken for deleted.
func TestGroupsThatNobodyLists(t *testing.T) {
	t.Parallel()
	before := &Snapshot{Groups: []Group{
		{ID: "deleted", Coordinator: 1, AsOf: epoch},
		{ID: "of a silent broker", Coordinator: 2, AsOf: epoch.Add(-time.Hour)},
		{ID: "of a broker that is gone", Coordinator: 3, AsOf: epoch.Add(-9 * time.Minute)},
		{ID: "of a broker that is long gone", Coordinator: 3, AsOf: epoch.Add(-11 * time.Minute)},
	}}
	r := round{
		Monitor: &Monitor{cfg: Config{}.withDefaults()}, at: epoch, cluster: Cluster{Brokers: []Broker{{ID: 1}, {ID: 2}}},
		silent: map[int32]error{2: kerr.CoordinatorLoadInProgress},
	}
	var got []string
	for _, g := range r.unlisted(before) {
		if got = append(got, g.ID); g.Err == nil {
			t.Errorf("%+v", g)
		}
	}
	if want := []string{"of a silent broker", "of a broker that is gone"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
