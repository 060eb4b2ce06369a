package engine

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A native bucket holds what lies between its bounds, and all counts agree with each other.
func TestDistribution(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	lengths := []time.Duration{0, 1, 2, time.Microsecond, time.Second, time.Second + 1, 2 * time.Second, time.Hour, math.MaxInt64}
	lengths = append(lengths, Bounds[:]...)
	for range 10_000 {
		lengths = append(lengths, time.Duration(math.Exp(random.Float64()*math.Log(math.MaxInt64))))
	}
	for _, took := range lengths {
		var d Distribution
		d.Add(took)
		fine := d.Fine()
		if len(fine) != 1 || d.Count != 1 || d.Sum != took {
			t.Fatalf("%v: %+v, %v", took, d, fine)
		}
		for i, n := range fine {
			lower, upper := math.Exp2(float64(i-1)/perOctave), math.Exp2(float64(i)/perOctave)
			if s := max(took, 1).Seconds(); n != 1 || s <= lower*(1-1e-12) || s > upper*(1+1e-12) {
				t.Fatalf("%v is %d times in bucket %d, of more than %v and at most %v s", took, n, i, lower, upper)
			}
		}
		for i, b := range Bounds {
			if within := took <= b && (i == 0 || took > Bounds[i-1]); within != (d.Within[i] == 1) {
				t.Fatalf("%v: %v counts %d", took, b, d.Within[i])
			}
		}
	}
}

// A power of two is the last of its bucket, and not the first of the next: Prometheus' bounds are inclusive.
func TestDistributionAtItsBounds(t *testing.T) {
	t.Parallel()
	for power := range 10 {
		if got := bucketOf(time.Second << power); got != power*perOctave {
			t.Errorf("%v is in bucket %d, want %d", time.Second<<power, got, power*perOctave)
		}
	}
}

// Records of a run are timed together: a slow one among them shows as what it is.
func TestDistributionOfARun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took, usual time.Duration
		n           int
		want        map[int]int64
	}{
		"one":                    {time.Second, time.Microsecond, 1, map[int]int64{0: 1}},
		"none":                   {time.Second, 0, 0, map[int]int64{}},
		"fast ones":              {64 * 10 * time.Microsecond, 5 * time.Microsecond, 64, map[int]int64{bucketOf(10 * time.Microsecond): 64}},
		"a slow one among them":  {time.Second, 5 * time.Microsecond, 64, map[int]int64{bucketOf(5 * time.Microsecond): 63, 0: 1}},
		"nothing usual is known": {4 * time.Second, math.MaxInt64, 4, map[int]int64{0: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d Distribution
			d.spread(c.took, c.usual, c.n)
			got := d.Fine()
			if d.Count != int64(c.n) || c.n > 0 && d.Sum != c.took || len(got) != len(c.want) {
				t.Errorf("%d in %v, %v", d.Count, d.Sum, got)
			}
			for i, n := range c.want {
				if got[i] != n {
					t.Errorf("bucket %d: %d, want %d", i, got[i], n)
				}
			}
		})
	}
}

func TestDistributionAllocatesOnlyOnce(t *testing.T) {
	var d Distribution
	took := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() { took += time.Microsecond; d.Add(took % time.Second) }); n > 0.1 {
		t.Errorf("%v allocations", n)
	}
}

func TestDistributionsCopyShareNothing(t *testing.T) {
	t.Parallel()
	var d Distribution
	d.Add(time.Second)
	c := d.clone()
	d.Add(time.Second)
	if c.Count != 1 || c.Fine()[0] != 1 || d.Fine()[0] != 2 {
		t.Errorf("the copy has %v, the original %v", c.Fine(), d.Fine())
	}
}
