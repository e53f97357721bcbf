package telemetry

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A layout is the buckets of a histogram. Bucket i has the values above bounds[i-1],
// up to bounds[i]. Where an exporter wants exponential histograms, bounds has the
// boundaries of both kinds, so that either kind can be made of the same counts.
type layout struct {
	bounds   []float64
	explicit []float64 // boundaries of the explicit histogram
	toward   []int     // for each bucket its explicit one

	exponents []int // for each bucket its exponential one, from 0; -1: of the zero bucket. nil: there is none
	offset    int32 // index of the first exponential bucket
	threshold float64

	times []time.Duration // bounds, as durations
	first [65]int         // first[n]: the lowest bucket for durations of n bits
}

// exponentialScale makes each bucket 2^(1/4) times as wide as the one before: a
// quantile is off by a tenth at most.
const exponentialScale = 2

// newLayout returns a layout with these explicit boundaries, with exponential
// buckets beside them if wanted.
func newLayout(explicit []float64, exponential bool) *layout {
	l := &layout{explicit: explicit, bounds: slices.Clone(explicit)}
	var powers []float64
	if exponential {
		low := slices.IndexFunc(explicit, func(b float64) bool { return b > 0 })
		from, to := int(math.Floor(math.Log2(explicit[low])))-1, int(math.Ceil(math.Log2(explicit[len(explicit)-1])))+1
		l.offset = int32(from << exponentialScale)
		l.threshold = math.Exp2(float64(from))
		for i := from << exponentialScale; i <= to<<exponentialScale; i++ {
			powers = append(powers, math.Exp2(float64(i)/(1<<exponentialScale)))
		}
		l.bounds = append(l.bounds, powers...)
		slices.Sort(l.bounds)
		l.bounds = slices.Compact(l.bounds)
	}
	for i := range len(l.bounds) + 1 {
		value := math.Inf(1) // of the bucket
		if i < len(l.bounds) {
			value = l.bounds[i]
		}
		at, _ := slices.BinarySearch(explicit, value)
		l.toward = append(l.toward, at)
		if exponential {
			p, _ := slices.BinarySearch(powers, value)
			l.exponents = append(l.exponents, min(p, len(powers)-1)-1)
		}
	}
	for _, b := range l.bounds {
		l.times = append(l.times, time.Duration(math.Round(b*float64(time.Second))))
	}
	for n := range l.first {
		least := time.Duration(0)
		if n > 0 {
			least = 1 << (n - 1)
		}
		for l.first[n] < len(l.times) && least > l.times[l.first[n]] {
			l.first[n]++
		}
	}
	return l
}

// of returns the bucket of a value.
func (l *layout) of(value float64) int {
	i, _ := slices.BinarySearch(l.bounds, value)
	return i
}

// ofTime returns the bucket of a time, which is not negative.
func (l *layout) ofTime(d time.Duration) int {
	i := l.first[bits.Len64(uint64(d))]
	for i < len(l.times) && d > l.times[i] {
		i++
	}
	return i
}

// exponential makes an exponential histogram of a point.
func (l *layout) exponential(pt point, began, now time.Time) metricdata.ExponentialHistogramDataPoint[float64] {
	out := metricdata.ExponentialHistogramDataPoint[float64]{
		Attributes: pt.set, StartTime: began, Time: now, Sum: pt.histogram.sum, Count: pt.histogram.count,
		Scale: exponentialScale, ZeroThreshold: l.threshold, Exemplars: pt.exemplars,
	}
	var counts []uint64
	for i, n := range pt.histogram.counts {
		if n == 0 {
			continue
		}
		at := l.exponents[i]
		if at < 0 {
			out.ZeroCount += n
			continue
		}
		for len(counts) <= at {
			counts = append(counts, 0)
		}
		counts[at] += n
	}
	out.PositiveBucket = metricdata.ExponentialBucket{Offset: l.offset, Counts: counts}
	return out
}
