package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice"
)

// nativeSchema is the resolution of sluice.Distribution.Fine.
const nativeSchema = 3

// bounds are those of the classic buckets, in seconds.
var bounds = func() []float64 {
	var seconds []float64
	for _, b := range sluice.DistributionBounds() {
		seconds = append(seconds, b.Seconds())
	}
	return seconds
}()

// histogram is one in both forms: what a client of the text formats is told are the classic buckets; who asks for protobuf gets both.
type histogram struct {
	prometheus.Metric // the native form

	classic []*dto.Bucket
}

func newHistogram(desc *prometheus.Desc, d sluice.Distribution, labels ...string) (prometheus.Metric, error) {
	native, err := prometheus.NewConstNativeHistogram(desc, uint64(d.Count), d.Sum.Seconds(), d.Fine, nil, 0, nativeSchema,
		prometheus.DefNativeHistogramZeroThreshold, time.Time{}, labels...)
	if err != nil {
		return nil, err
	}
	h := histogram{Metric: native}
	var upTo uint64
	for i, n := range d.Within {
		upTo += uint64(n)
		h.classic = append(h.classic, &dto.Bucket{UpperBound: new(bounds[i]), CumulativeCount: new(upTo)})
	}
	return h, nil
}

// Write implements prometheus.Metric.
func (h histogram) Write(out *dto.Metric) error {
	if err := h.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = h.classic
	out.Histogram.CreatedTimestamp = nil // the constructor cannot do without one, and we know none
	return nil
}
