package telemetry_test

import (
	"testing"

	"weir/stream"
	"weir/telemetry"
)

// What /sse-metrics counts as a fault has an error.type, and nothing else has.
func TestFaultsHaveAnErrorType(t *testing.T) {
	for _, reason := range stream.CloseReasons {
		if kind := telemetry.ErrorType(reason); (kind != "") != reason.Fault() {
			t.Errorf("%s has the error type %q, and is a fault: %v", reason, kind, reason.Fault())
		}
	}
}
