package source

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"weir/stream"
)

func openSensor(argument string) (stream.Source, error) {
	return new(Sensor), noArgument("sensor", argument)
}

// ReadingType is the CloudEvents type of a reading, of a [Sensor] or a [Host].
const ReadingType = "weir.reading"

// A Reading is what a [Sensor] measures.
type Reading struct {
	Temperature float64 // degrees Celsius, 18 to 28
	Humidity    float64 // per cent, 30 to 80
	Pressure    float64 // hectopascal, 1000 to 1020
}

// A span is the range of one measure.
type span struct {
	name      string
	low, high float64
}

var (
	temperature = span{"temperature", 18, 28}
	humidity    = span{"humidity", 30, 80}
	pressure    = span{"pressure", 1000, 1020}
)

// Validate reports, wrapping stream.ErrInvalid, a measure that is not a number
// or out of its range.
func (r Reading) Validate() error {
	for _, m := range []struct {
		span
		value float64
	}{{temperature, r.Temperature}, {humidity, r.Humidity}, {pressure, r.Pressure}} {
		if !(m.value >= m.low && m.value <= m.high) { // not written the other way round, for NaN
			return fmt.Errorf("%w: %s %v is not from %v to %v", stream.ErrInvalid, m.name, m.value, m.low, m.high)
		}
	}
	return nil
}

// appendJSON appends the reading with one decimal.
func (r Reading) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"temperature":`...)
	dst = strconv.AppendFloat(dst, r.Temperature, 'f', 1, 64)
	dst = append(dst, `,"humidity":`...)
	dst = strconv.AppendFloat(dst, r.Humidity, 'f', 1, 64)
	dst = append(dst, `,"pressure":`...)
	dst = strconv.AppendFloat(dst, r.Pressure, 'f', 1, 64)
	return append(dst, '}')
}

// A Sensor publishes readings of a room at irregular times. The zero value
// simulates one. A reading that fails, or is not valid, counts as a failure and
// is left out.
type Sensor struct {
	// Min and Max bound the time between two readings, which is random.
	// Default: 0.5 s and 2 s.
	Min, Max time.Duration
	// Seed makes the simulation repeat itself. Default: 0, it does not.
	Seed uint64
	// Read takes a reading. Default: a simulated one, which wanders smoothly
	// within the ranges.
	Read func(ctx context.Context) (Reading, error)

	rand  *rand.Rand
	walks [3]walk
}

// Run implements [stream.Source].
func (s *Sensor) Run(ctx context.Context, p stream.Publisher) error {
	low, high := s.Min, s.Max
	if low <= 0 {
		low = 500 * time.Millisecond
	}
	if high <= 0 {
		high = 2 * time.Second
	}
	high = max(low, high)
	if s.rand == nil {
		seed := s.Seed
		if seed == 0 {
			seed = rand.Uint64()
		}
		s.rand = rand.New(rand.NewPCG(seed, seed))
		for i := range s.walks {
			s.walks[i].at = 0.25 + s.rand.Float64()/2
		}
	}
	read := s.Read
	if read == nil {
		read = s.simulate
	}
	for ctx.Err() == nil {
		r, err := read(ctx)
		if err == nil {
			err = r.Validate()
		}
		if err != nil {
			p.Fail(fmt.Errorf("read the sensor: %w", err))
		} else if err := putReading(ctx, p, stream.Event{Type: ReadingType, ContentType: stream.JSON, Data: r.appendJSON(nil)}); err != nil {
			return ended(err)
		}
		if err := pause(ctx, low+time.Duration(s.rand.Int64N(int64(high-low)+1))); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Sensor) simulate(context.Context) (Reading, error) {
	value := func(i int, of span) float64 {
		v := of.low + s.walks[i].step(s.rand)*(of.high-of.low)
		return math.Round(v*10) / 10
	}
	return Reading{Temperature: value(0, temperature), Humidity: value(1, humidity), Pressure: value(2, pressure)}, nil
}

// A walk wanders between 0 and 1. It has a speed, which changes little from
// step to step, so that a chart of it is smooth; and it is drawn to the middle,
// so that it does not stick to an end.
type walk struct{ at, speed float64 }

func (w *walk) step(r *rand.Rand) float64 {
	const (
		drag   = 0.1
		pull   = 0.003
		jitter = 0.006
	)
	w.speed += jitter*r.NormFloat64() - drag*w.speed + pull*(0.5-w.at)
	w.at += w.speed
	if w.at < 0 || w.at > 1 {
		w.at = min(max(w.at, 0), 1)
		w.speed = -w.speed / 2
	}
	return w.at
}
