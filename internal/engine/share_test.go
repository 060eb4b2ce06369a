package engine

import "testing"

func TestMetadataIsSharedOutByNeed(t *testing.T) {
	for _, c := range []struct {
		needs []int
		room  int
		most  int
	}{
		{[]int{100, 100, 100}, 150, 50},
		{[]int{10, 100, 100}, 150, 70},
		{[]int{100, 10, 20, 1000}, 200, 85},
		{[]int{4096, 4096}, 0, 0},
	} {
		most := share(c.needs, c.room)
		if most != c.most {
			t.Errorf("%v in %d: %d each, want %d", c.needs, c.room, most, c.most)
		}
		total := 0
		for _, n := range c.needs {
			total += min(n, most)
		}
		if total > c.room {
			t.Errorf("%v in %d: %d together", c.needs, c.room, total)
		}
	}
}
