package engine

import (
	"math"
	"time"
)

// Bounds are those of the classic buckets of a Distribution: those of OpenTelemetry's messaging metrics, and some below and above them.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, time.Millisecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 75 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 7500 * time.Millisecond, 10 * time.Second,
	30 * time.Second, time.Minute, 5 * time.Minute,
}

// Distribution counts how long something took. It has its counts twice: by Bounds, as Prometheus' classic histograms want them, and by
// powers of 2^(1/8), as its native ones do. Nothing is allocated for a length that was seen before. It has no lock.
type Distribution struct {
	Count  int64
	Sum    time.Duration
	Within [len(Bounds)]int64 // more than the bound before, and at most this one; what is above all of them is in Count only

	octaves [octaves]*[perOctave]int64 // nil: nothing that long
}

const (
	perOctave = 1 << Schema
	octaves   = 64 // all that a time.Duration can be, from 2^-30 s on
	below     = 30 // 1 s

	// Schema is what Prometheus calls the resolution of a native histogram: a bucket's bounds are 2^(2^-Schema) apart.
	Schema = 3
)

// Add counts one.
func (d *Distribution) Add(took time.Duration) { d.spread(took, 0, 1) }

// spread counts several that took so long together, of which each usually takes so long. Where they took longer than records that
// share a run do, all but one are taken to have been as usual: so one that is slow shows as what it is, and not as 64 that were a bit slow.
func (d *Distribution) spread(took, usual time.Duration, n int) {
	if n <= 0 {
		return
	}
	d.Sum += took
	each := took
	if n > 1 {
		if each = took / time.Duration(n); each > fast {
			usual = min(usual, each)
			d.count(usual, n-1)
			each, n = took-usual*time.Duration(n-1), 1
		}
	}
	d.count(each, n)
}

func (d *Distribution) count(each time.Duration, n int) {
	d.Count += int64(n)
	for i, bound := range &Bounds { // what comes often is found first
		if each <= bound {
			d.Within[i] += int64(n)
			break
		}
	}
	i := bucketOf(each) - 1
	o := &d.octaves[i>>Schema+below]
	if *o == nil {
		*o = new([perOctave]int64)
	}
	(*o)[i&(perOctave-1)] += int64(n)
}

// bucketOf is the number of a native bucket, as Prometheus counts them: bucket i is for more than 2^((i-1)/8) s, and at most 2^(i/8) s.
func bucketOf(d time.Duration) int {
	half, octave := math.Frexp(float64(max(d, 1)) / float64(time.Second))
	i := (octave - 1) * perOctave
	for _, bound := range &inOctave {
		if half <= bound {
			break
		}
		i++
	}
	return i
}

// inOctave are the upper bounds of the buckets from 1/2 on, the one that ends there first.
var inOctave = func() (bounds [perOctave]float64) {
	for i := range bounds {
		bounds[i] = math.Exp2(float64(i)/perOctave - 1)
	}
	return bounds
}()

// Fine are the counts of the native buckets, by their numbers, without those that are 0.
func (d *Distribution) Fine() map[int]int64 {
	m := make(map[int]int64)
	for o, counts := range d.octaves {
		if counts == nil {
			continue
		}
		for i, n := range counts {
			if n > 0 {
				m[(o-below)*perOctave+i+1] = n
			}
		}
	}
	return m
}

// clone is a copy that shares nothing.
func (d *Distribution) clone() Distribution {
	c := *d
	for i, o := range c.octaves {
		if o != nil {
			c.octaves[i] = new(*o)
		}
	}
	return c
}
