package engine

import (
	"errors"
	"testing"
)

// listed is an error that cannot be compared; wrapped can, as far as its type tells.
type (
	listed  []error
	wrapped struct{ error }
)

func (l listed) Error() string { return errors.Join(l...).Error() }

// Errors that cannot be compared are never the same, and nothing panics.
func TestIsSame(t *testing.T) {
	t.Parallel()
	kept := errors.New("kept")
	for _, test := range []struct {
		err, before error
		want        bool
	}{
		{nil, nil, false},
		{kept, nil, false},
		{kept, kept, true},
		{kept, errors.New("kept"), false},
		{wrapped{kept}, wrapped{kept}, true},
		{listed{kept}, listed{kept}, false},
		{wrapped{listed{kept}}, wrapped{listed{kept}}, false},
	} {
		if got := isSame(test.err, test.before); got != test.want {
			t.Errorf("%#v and %#v: %v", test.err, test.before, got)
		}
	}
}
