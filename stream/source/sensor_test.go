package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/source"
)

// stamped notes when each event came.
type stamped struct {
	sink  *sink
	times []time.Time
}

func (s *stamped) Publish(ctx context.Context, events ...stream.Event) error {
	s.times = append(s.times, time.Now())
	return s.sink.Publish(ctx, events...)
}

func (s *stamped) Fail(err error) { s.sink.Fail(err) }

func TestSensorDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &stamped{sink: newSink()}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		if err := new(source.Sensor).Run(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Run returned %v", err)
		}
		shortest, longest := time.Hour, time.Duration(0)
		for i := 1; i < len(p.times); i++ {
			wait := p.times[i].Sub(p.times[i-1])
			shortest, longest = min(shortest, wait), max(longest, wait)
		}
		if shortest < 500*time.Millisecond || shortest > 550*time.Millisecond || longest > 2*time.Second || longest < 1950*time.Millisecond {
			t.Errorf("readings came every %v to %v, want 0.5 s to 2 s", shortest, longest)
		}
		form := regexp.MustCompile(`^\{"temperature":\d\d\.\d,"humidity":\d\d\.\d,"pressure":\d{4}\.\d\}$`)
		var series [3][]float64
		for _, e := range p.sink.got {
			if !form.Match(e.Data) || e.Type != source.ReadingType || e.ContentType != stream.JSON {
				t.Fatalf("got %s %s %s", e.Type, e.ContentType, e.Data)
			}
			var r source.Reading
			if err := json.Unmarshal(e.Data, &r); err != nil {
				t.Fatal(err)
			}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			series[0] = append(series[0], (r.Temperature-18)/10)
			series[1] = append(series[1], (r.Humidity-30)/50)
			series[2] = append(series[2], (r.Pressure-1000)/20)
		}
		for i, values := range series {
			step := 0.0
			for j := 1; j < len(values); j++ {
				step = max(step, math.Abs(values[j]-values[j-1]))
			}
			if step > 0.12 {
				t.Errorf("measure %d jumps by %.2f of its range: that is no smooth walk", i, step)
			}
			if spread := slices.Max(values) - slices.Min(values); spread < 0.3 {
				t.Errorf("measure %d moved over %.2f of its range in two hours: a chart of it is a line", i, spread)
			}
		}
	})
}

func TestSensorSeed(t *testing.T) {
	play := func(seed uint64) (text string) {
		synctest.Test(t, func(t *testing.T) {
			p := newSink()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_ = (&source.Sensor{Seed: seed}).Run(ctx, p)
			text = strings.Join(p.text, "\n")
		})
		return text
	}
	var tunes [6]string
	for i, seed := range []uint64{7, 7, 8, 9, 0, 0} {
		tunes[i] = play(seed)
	}
	if tunes[0] != tunes[1] {
		t.Error("two sensors of one seed differ")
	}
	for i := 1; i < len(tunes); i++ {
		if slices.Contains(tunes[i+1:], tunes[i]) {
			t.Errorf("sensor %d is the same as another, of another seed or of none", i)
		}
	}
}

func TestReadingValidate(t *testing.T) {
	good := source.Reading{Temperature: 21.5, Humidity: 50, Pressure: 1013}
	for name, change := range map[string]func(r *source.Reading){
		"temperature 17.9":   func(r *source.Reading) { r.Temperature = 17.9 },
		"temperature 28.1":   func(r *source.Reading) { r.Temperature = 28.1 },
		"temperature NaN":    func(r *source.Reading) { r.Temperature = math.NaN() },
		"humidity +Inf":      func(r *source.Reading) { r.Humidity = math.Inf(1) },
		"humidity 29.9":      func(r *source.Reading) { r.Humidity = 29.9 },
		"pressure -Inf":      func(r *source.Reading) { r.Pressure = math.Inf(-1) },
		"pressure 1020.0001": func(r *source.Reading) { r.Pressure = 1020.0001 },
	} {
		r := good
		change(&r)
		if err := r.Validate(); !errors.Is(err, stream.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, r := range []source.Reading{good, {18, 30, 1000}, {28, 80, 1020}} {
		if err := r.Validate(); err != nil {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestSensorBadReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := source.Reading{Temperature: 20, Humidity: 40, Pressure: 1010}
		answers := []func() (source.Reading, error){
			func() (source.Reading, error) { return good, nil },
			func() (source.Reading, error) { return source.Reading{}, errors.New("the wire is off") },
			func() (source.Reading, error) { return source.Reading{Temperature: math.NaN()}, nil },
			func() (source.Reading, error) { return good, nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		s := &source.Sensor{Read: func(context.Context) (source.Reading, error) {
			answer := answers[0]
			if answers = answers[1:]; len(answers) == 0 {
				cancel()
			}
			return answer()
		}}
		p := newSink()
		if err := s.Run(ctx, p); !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
		p.want(t,
			`{"temperature":20.0,"humidity":40.0,"pressure":1010.0}`,
			"! read the sensor: the wire is off",
			"! read the sensor: invalid event: temperature NaN is not from 18 to 28",
			`{"temperature":20.0,"humidity":40.0,"pressure":1010.0}`)
	})
}
