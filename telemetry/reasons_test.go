package telemetry_test

import (
	"context"
	"slices"
	"testing"

	"weir/stream"
	"weir/telemetry"
)

// Where telemetry spells a reason or a state itself, package stream gives just that.
func TestReasonsAreThoseOfTheStream(t *testing.T) {
	for _, reason := range telemetry.RespelledReasons {
		if !slices.Contains(stream.CloseReasons, reason) {
			t.Errorf("no stream ends because of %q", reason)
		}
	}
	for _, reason := range stream.CloseReasons {
		// A reset is the client's fault or the network's: nobody has to look into it.
		if fault := telemetry.ErrorType(reason) != ""; fault != reason.Fault() && reason != "reset" {
			t.Errorf("%q is a fault: %v, and has the error.type %q", reason, reason.Fault(), telemetry.ErrorType(reason))
		}
	}
	hub := stream.NewHub(stream.HubOptions{})
	defer hub.Close()
	if err := hub.AddTopic("quiet"); err != nil {
		t.Fatal(err)
	}
	err := hub.AddSource("quiet", stream.SourceFunc(func(ctx context.Context, _ stream.Publisher) error {
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if state := hub.Health()["quiet"].Source.State; state != telemetry.SourceStarting {
		t.Errorf("a source from which nothing has come is %q", state)
	}
}
