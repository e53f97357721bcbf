// Package jaeger holds the Jaeger that make jaeger builds, pinned by jaeger.mod
// and jaeger.sum, and the test in which Weir, a browser and that Jaeger meet:
//
//	make test-jaeger
//
// The test has a build tag of its own, jaeger, since the first build of Jaeger
// takes minutes.
package jaeger
