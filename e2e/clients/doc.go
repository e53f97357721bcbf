//go:build unix

// Clients puts before Weir the clients that its users have, which nobody here
// wrote: npm's, Go's, Python's, and those in a real Chromium. It is a program,
// and `make clients` runs it.
//
// Each row is a misfortune: a cut at a bad moment, a restart, a limit, a gap. In
// each, all clients read the same topic at once, each through a proxy of its own
// that can cut it. In the end every client must have every event once, in order,
// with the right text, must have been told of a gap once if there was one and
// else of none, and must have come back by itself.
//
// What a client itself does wrong, so that no server can help, is in faults.go,
// with the reason. Every other failure fails the run.
//
// The libraries are pinned by npm/package-lock.json and golang/go.mod, and are
// no part of Weir's own go.mod or web/package-lock.json.
package main
