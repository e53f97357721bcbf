// Package journey keeps the ways of the last events through the server in a
// bounded memory, and tells them, each as its reader saw it.
//
// A [Store] is told of each step of a sampled event when the step is over: when
// the event was published, came from the broker, was flushed to a connection,
// and was on the screen of a page. [Store.Journey] puts the steps of one event
// and one reader in order. [Store.Recent] and [Store.Slowest] list the events.
//
// An event may have thousands of deliveries. The store keeps a few with the
// event. What a page asks for is its own, so each connection that has a page on
// its other end has a [Reader], which remembers the last deliveries to it.
//
// The package makes no spans, and decides nothing about which events are sampled.
// It imports the standard library only.
package journey
