// Package eventlog keeps the events of one topic in order: a bounded log of
// immutable entries, views of it by subject, and cursors that read them.
//
// It is a data structure: it has no timer, no goroutine, no HTTP and no system
// call. A writer puts events in ([Log.Append], or [Log.Insert] where somebody
// else numbers them) and never waits for a reader. A [View] is all of the log, or
// what a [Filter] of subjects lets through. A [Cursor] is one reader's place in a
// view; it is told by a [Gap] what it cannot get. A [Format] encodes an [Entry]
// for the wire, once, when the first reader needs it.
//
// The invariants are stated at [Log], and TestModel checks them against a naive
// list of everything that ever happened.
//
// What it does not do: decide when a reader reads, write to anybody, or keep
// anything longer than the process lives.
package eventlog
