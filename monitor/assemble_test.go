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
		{ID: "on the move", Coordinator: 1, Type: "classic"},
		{ID: "of a silent broker", Coordinator: 2},
		{ID: "of a broker that is gone", Coordinator: 3},
		{ID: "of a broker that is long gone", Coordinator: 3},
	}}
	look := func(silent map[int32]error) (kept []string, r *round) {
		m := &Monitor{cfg: Config{}.withDefaults(), book: newBook()}
		m.book.unlisted["of a broker that is long gone"] = epoch.Add(-11 * time.Minute)
		r = &round{
			Monitor: m, at: epoch, cluster: Cluster{Brokers: []Broker{{ID: 1}, {ID: 2}}}, silent: silent,
			groups: map[string]*groupAnswer{}, problems: map[string]error{},
		}
		r.recall(before)
		for _, g := range r.unlisted(before) {
			if kept = append(kept, g.ID); g.Err == nil {
				t.Errorf("%+v", g)
			}
		}
		return kept, r
	}
	got, r := look(map[int32]error{2: kerr.CoordinatorLoadInProgress})
	if want := []string{"of a silent broker", "of a broker that is gone", "of a broker that is long gone"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q: the silent broker may have them", got, want)
	}
	if a := r.groups["on the move"]; a == nil || !a.unlisted || a.coordinator != 1 || a.listed.GroupType != "classic" || r.problems["groups"] == nil {
		t.Errorf("%+v, problems %v", a, r.problems)
	}
	got, r = look(nil)
	if want := []string{"of a broker that is gone"}; !slices.Equal(got, want) || r.groups["of a silent broker"] == nil {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is said of a group tells whether it is deleted.
func TestWhatIsGone(t *testing.T) {
	t.Parallel()
	some := []commit{{}}
	for name, test := range map[string]struct {
		groupAnswer

		gone bool
	}{
		"not there, say the commits":   {groupAnswer{err: kerr.GroupIDNotFound}, true},
		"not there, say the members":   {groupAnswer{description: description{err: kerr.GroupIDNotFound}}, true},
		"commits of another type":      {groupAnswer{commits: some, description: description{err: kerr.GroupIDNotFound}}, false},
		"dead":                         {groupAnswer{unlisted: true, description: description{known: true, state: "Dead"}}, true},
		"dead, with commits":           {groupAnswer{unlisted: true, commits: some, description: description{known: true, state: "Dead"}}, false},
		"of a type without a question": {groupAnswer{unlisted: true}, true},
		"the same, and listed":         {groupAnswer{}, false},
		"elsewhere":                    {groupAnswer{unlisted: true, err: kerr.NotCoordinator, description: description{err: kerr.NotCoordinator}}, false},
		"empty, and unlisted":          {groupAnswer{unlisted: true, description: description{known: true, state: "Empty"}}, false},
	} {
		if got := test.groupAnswer.gone(); got != test.gone {
			t.Errorf("%s: %v", name, got)
		}
	}
}
