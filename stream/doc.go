// Package stream serves Server-Sent Events from bounded logs.
//
// Each topic is one append-only, bounded, in-memory [Log] of immutable
// entries, and an entry is encoded for the wire once. A connection is a
// [Cursor] over the log; it has no queue of its own. So fan-out, replay, slow
// consumers and batching are one mechanism: every cursor reads the same bytes;
// a cursor that starts further back replays; one that the log's tail has
// overtaken is too slow; one that finds several entries waiting writes them
// together.
//
// # Order and loss
//
// The IDs of a topic rise strictly. A reader gets the events of a topic in the
// order of their IDs, none twice, and none left out but those that a [Gap]
// tells it of. Publishers never wait for readers.
//
// # Parts
//
// A [Hub] holds the topics and runs their [Source] plug-ins; a [Handler]
// serves them over HTTP; a [Decoder] is the client's side. [Hooks] observe
// without touching the path of an event when they are not set. A [Broker]
// carries events between processes. A representation other than JSON is a log
// of its own, projected from the topic's.
//
// # From a publisher to a client
//
// Append numbers and encodes an event and wakes who follows the log, which are
// few. A goroutine of its own then releases what has come to the connections: at
// once after a quiet time, else to one share of them after the other, each once
// in LogOptions.Pace.
//
// A connection that has caught up is parked. On net/http each gets a goroutine
// when there is something to write, which ends when all is written; net/http's
// own does nothing but wait for the end. On Linux, plain HTTP/1.1 connections
// are taken over, and a few pumps write each batch to all that are parked,
// without ever waiting for one. See [Transport].
//
// The package imports the standard library only.
package stream
