// Package stream serves Server-Sent Events from bounded logs: it is what a
// program imports that wants live feeds in its own HTTP server.
//
// Each topic is one append-only, bounded, in-memory log of immutable entries.
// A connection is a cursor over the log: it has no queue of its own. So fan-out,
// replay, slow consumers and batching are one mechanism. Every cursor reads the
// same bytes; a cursor that starts further back replays; a cursor that the log's
// floor has overtaken was too slow; a cursor that finds several entries waiting
// writes them in one go.
//
// # Order and loss
//
// The IDs of a topic rise strictly. A reader gets the events of a topic in the
// order of their IDs, none twice, and none left out but those that a gap
// tells it of. Publishers never wait for readers.
//
// A topic goes back when its broker has lost the newest events. A reader is told
// by a gap with the reason "reset", which leads back to the last event that is
// kept. IDs from there on may then come again: of new events, and of the lost ones
// where the reader resumes on a node that has yet to hear of the loss, which tells
// the reader again when it has heard.
//
// # Words
//
//   - topic: the unit of order, history and resumption; it has one log
//   - subject: what an event is about; the unit of filtering and of rights
//   - event: what is published; entry: an event in a log, under its ID
//   - log: the entries of a topic, from the floor (nothing up to it is held) to
//     the head (the newest)
//   - view: the entries of a log that some subjects match; cursor: one reader's
//     position in a view
//   - gap: events that a reader cannot get, and is told of
//   - format: a way to encode an entry
//   - batch: entries that connections write in one go, encoded once for all
//   - shard: a share of the connections that read a view in one format
//   - turn: the moment at which a shard's connections get what has come; pace: how
//     long a turn lets events gather
//
// # The way of an event
//
//	Hub.Publish ─► Broker ─► follower ─┐        (with a broker)
//	     │                             │
//	     └────────► eventlog.Log.Append / Insert      numbers it, puts it in, drops the oldest
//	                          │ View.Watch            tells the feeds that something has come
//	                          ▼
//	               fanout.Feed.changed                makes sure that a turn is due
//	                          ⋮ at once, or when the pace is over
//	               fanout.Shard.write                 releases entries to a share of the connections
//	                 │                    │
//	           plain │ wakes              │ lean: sends the batch to all that are parked
//	                 ▼                    ▼
//	    handler's goroutine          netpoll.Send ── not all taken ─► a goroutine until it has caught up
//	    Reader.Read, Write, Flush         │
//	                 └─────► session.wrote ◄┘         counts, and calls ConnHooks.Flush
//
// # What happens to a slow client
//
// On the plain transport the handler's goroutine waits in Write; nobody else
// does. On the lean transport the socket does not take a batch: the shard's
// writer gives the session a goroutine of its own (fanout.Member, session.work),
// which waits, and goes on with the next client. Either way the cursor stays
// after the batch that is being written, while the log grows. Two detectors look
// at it. When the log's floor overtakes the cursor, its next read is a gap
// (eventlog.Cursor.Peek); the client is told, and goes on with the oldest entry
// held. When a write has waited for Handler.WriteTimeout, and the client took and
// acknowledged nothing meanwhile, the connection is closed as slow
// (plainWriter.check, leanWriter.writeAll). Where no write waits, what the system's
// buffers hold may stay unread for any time; but when the client's system
// acknowledges nothing of what was sent, the connection is closed as vanished
// (monitor.look). No lock is held while anybody waits for a client.
//
// # Why an event waits
//
// With a TopicOptions.Pace (5 ms in the program weir, none by default here) an
// event that comes within this time of the last write waits for the next turn:
// writing several events at once is what makes a thousand connections cheap. How
// long a turn lets events gather is decided in internal/fanout/turns.go
// (Feed.interval).
//
// # Adding a format
//
// Write a [Formatter] and name it in [HubOptions.Formats]; clients ask for it by
// ?format=NAME. It is called once for an entry, by the first who reads it so,
// and what it returns is kept with the entry and counted against
// TopicOptions.Bytes. ExampleFormatter in example_test.go is one. The program
// weir has its own in web/templates.go (Templates.AppendEvent), and names it in
// cmd/weir/topics.go.
//
// # Adding a source
//
// Write a [Source] and give it to Hub.AddSource: its Run publishes until its
// context is done. To have it known to the program's -source flag, put a
// source.Kind into the list of package weir/stream/source. streamtest.TestSource
// checks it.
//
// # Locks
//
// In the order in which they are taken, from left to right:
//
//	registry.mu ─► topic.mu
//	topic.storing ─► Log.write ─► Feed.mu ─► Shard.mu ─► batches.mu ─► Entry.mu ─► Log.mu
//
// Each other lock (of conns, monitor, hangUps, publisher, plainWriter) is taken
// alone. On the lean transport the hook Flush runs under Shard.mu; a [Formatter]
// runs under batches.mu and Entry.mu, and there under Shard.mu too.
//
// # Other packages
//
// [weir/stream/eventlog] is the log, [weir/stream/sse] the wire and a client,
// [weir/stream/source] the sources that ship, [weir/stream/redislog] and
// [weir/stream/disklog] brokers, [weir/stream/streamtest] the suites that check
// plug-ins. This package, and the ones below it, import the standard library
// only. It knows nothing of users, tokens, pages or telemetry: [Handler.Subscribe]
// and [Hooks] are where those come in.
package stream
