package source_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/stream"
	"weir/stream/source"
)

func TestKindsOpen(t *testing.T) {
	kinds := source.Standard(strings.NewReader(""), nil)
	for _, test := range []struct{ spec, topic, opens string }{
		{"sensor", "sensor", "*source.Sensor"},
		{"room=sensor", "room", "*source.Sensor"},
		{"host", "host", "*source.Host"},
		{"http", "http", "source.HTTP"},
		{"log=file:/var/log/a:b=c", "log", "*source.File"},
		{"exec:echo a=b:c", "exec", "*source.Exec"},
		{"sensor:x", "sensor", ""},
		{"host:x", "host", ""},
		{"http:x", "http", ""},
		{"stdin:x", "stdin", ""},
		{"file:", "file", ""},
		{"file", "file", ""},
		{"exec: ", "exec", ""},
	} {
		spec, err := kinds.Parse(test.spec)
		if err != nil {
			t.Errorf("%s: %v", test.spec, err)
			continue
		}
		if spec.Topic != test.topic {
			t.Errorf("%s: topic %s, want %s", test.spec, spec.Topic, test.topic)
		}
		s, err := spec.Open()
		if got := fmt.Sprintf("%T", s); test.opens != "" && (err != nil || got != test.opens) {
			t.Errorf("%s: opens %s, %v, want %s", test.spec, got, err, test.opens)
		}
		if test.opens == "" && err == nil {
			t.Errorf("%s: opened, want an error", test.spec)
		}
	}
}

func TestKindsParse(t *testing.T) {
	kinds := source.Standard(nil, nil)
	for _, spec := range []string{"", ":", "=", "nothing", "a=nothing:x", "=sensor", "a b=sensor", "a=b=sensor", "x/y=http", "a=", "Sensor", strings.Repeat("x", 129) + "=http"} {
		if got, err := kinds.Parse(spec); err == nil {
			t.Errorf("%q: got %+v, want an error", spec, got)
		}
	}
	if _, err := kinds.Parse("nothing"); err == nil || !strings.Contains(err.Error(), "known are "+strings.Join(kinds.Names(), ", ")) {
		t.Errorf("the kinds are not told: %v", err)
	}
	spec, err := kinds.Parse("a.b-C_1=exec:x=y:z")
	if err != nil || spec.Topic != "a.b-C_1" || spec.Kind.Name != "exec" || spec.Argument != "x=y:z" {
		t.Errorf("got %+v, %v", spec, err)
	}
}

// What metrics know, and what help lists, comes from the kinds themselves.
func TestKindsTell(t *testing.T) {
	kinds := source.Kinds{{Name: "b", EventTypes: []string{"z", "y"}}, {Name: "c"}, {Name: "a", EventTypes: []string{"y", "x"}}}
	if got := kinds.EventTypes(); !slices.Equal(got, []string{"x", "y", "z"}) {
		t.Errorf("event types are %q", got)
	}
	if got := kinds.Names(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("names are %q", got)
	}
	if got := source.Standard(nil, nil).EventTypes(); !slices.Contains(got, source.LineType) || !slices.Contains(got, source.ReadingType) {
		t.Errorf("event types are %q", got)
	}
	for _, k := range source.Standard(nil, nil) {
		if k.Help == "" || len(k.EventTypes) == 0 && k.Name != "http" {
			t.Errorf("%+v has no help, or no types", k)
		}
	}
}

// The later of two kinds with one name counts.
func TestKindsReplace(t *testing.T) {
	kinds := append(source.Standard(nil, nil), source.Kind{Name: "sensor", Open: func(argument string) (stream.Source, error) {
		return source.HTTP{}, nil
	}})
	spec, err := kinds.Parse("sensor:x")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := spec.Open(); err != nil || s != (source.HTTP{}) {
		t.Errorf("opened %T, %v", s, err)
	}
	if names := kinds.Names(); len(names) != len(kinds)-1 {
		t.Errorf("names are %q", names)
	}
}

// A kind of one's own: a function that publishes until its context is done.
func ExampleKinds() {
	countdown := source.Kind{Name: "countdown", Help: "the numbers down from one", Open: func(argument string) (stream.Source, error) {
		from, err := strconv.Atoi(argument)
		if err != nil {
			return nil, fmt.Errorf("countdown needs a number: %w", err)
		}
		return stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			for n := from; n > 0; n-- {
				if err := p.Publish(ctx, stream.Event{Data: []byte(strconv.Itoa(n))}); err != nil {
					return err // the source is run again after a while
				}
			}
			return nil // the topic has ended
		}), nil
	}}
	kinds := append(source.Standard(nil, nil), countdown)
	spec, _ := kinds.Parse("launch=countdown:3")
	launch, _ := spec.Open()

	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	_ = hub.AddTopic(spec.Topic)
	log, _ := hub.Reader(spec.Topic)
	events := log.Live()
	_ = hub.AddSource(spec.Topic, launch)
	for {
		batch, err := events.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range batch {
			fmt.Printf("%s\n", e.Event.Data)
		}
	}
	// Output:
	// 3
	// 2
	// 1
	// the topic has ended: the source has ended
}
