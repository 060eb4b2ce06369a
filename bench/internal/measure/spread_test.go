package measure

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{9, 1, 5, 6}, 5.5},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("%v is now %v: the order of the rounds is lost", before, c.values)
		}
	}
}

func TestSpread(t *testing.T) {
	s := SpreadOf(1, []float64{3.14, 1.06, 2})
	if !slices.Equal(s.Rounds, []float64{3.1, 1.1, 2}) || s.Median != 2 || s.Min != 1.1 || s.Max != 3.1 {
		t.Errorf("%+v", s)
	}
	if s := SpreadOf(1, nil); s.Rounds == nil || s.Median != 0 {
		t.Errorf("of nothing: %+v; rounds must be a list in JSON", s)
	}
}

// The median of the ratios is not the ratio of the medians: rounds are compared with themselves.
func TestRatio(t *testing.T) {
	number := func(f float64) float64 { return f }
	a, b := []float64{10, 200, 30}, []float64{10, 100, 10}
	got := Ratio(1, a, b, number)
	if !slices.Equal(got.Rounds, []float64{1, 2, 3}) || got.Median != 2 {
		t.Errorf("%+v", got)
	}
	if got := Ratio(1, a, b[:1], number); len(got.Rounds) != 1 {
		t.Errorf("a round that one side lacks gives no ratio: %+v", got)
	}
	if got := Of(0, a, number); got.Median != 30 || got.Max != 200 {
		t.Errorf("%+v", got)
	}
}
