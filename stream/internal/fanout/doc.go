// Package fanout decides when which connection is written to, and by whom.
//
// A [Feed] brings what one view of a log receives, in one format, to its
// connections. The connections are spread over a few shards. Each [Shard] has
// its turn once in the feed's pace: the turn releases the entries that have come
// to the connections of the shard. Connections that stand at the same entry
// write the same [Batch], which is made once.
//
// There are two kinds of connections. A [Reader] belongs to a goroutine, which
// waits for the turn of its shard and writes by itself. A [Member] has no
// goroutine while it is parked: at the turn its shard writes to all that are
// parked, one after the other, without ever waiting for one. A member that does
// not take all of a batch gets a goroutine until it has caught up.
//
// Locks, in the order in which they are taken: Log.write, while the log calls a feed
// that watches it; Feed.mu; Shard.mu; batches.mu; Entry.mu; Log.mu. Under Shard.mu a
// parked member's connection is told what was written (Conn.Wrote).
//
// # Why an event waits
//
// With a pace of 5 ms, an event under load waits for the next turn of its shard:
// up to the pace, or longer where writing each event by itself would cost too
// much. turns.go decides how long (Feed.interval), and is the place to change it.
//
// What it does not do: HTTP. It writes to file descriptors, by package netpoll,
// and hands everything else to the connection.
package fanout
