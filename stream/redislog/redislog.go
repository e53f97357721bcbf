// Package redislog carries events between processes by Redis streams: it is
// the [stream.Broker] for several nodes.
//
// Each topic is one Redis stream, trimmed by number and by bytes, and Redis
// numbers the events. Every node follows the stream into its own log, so a
// client may resume on any node. It needs Redis 7 or later, or what speaks like
// it: one server, one that Sentinels watch over, or a Redis Cluster.
//
// # How it works
//
// A publication is stored by a script, which also trims the stream, finds
// events that are there already, and tells of the publication on the topic's
// channel. A node has one connection, to each server of a cluster, on which it
// hears of the topics that it follows; the notification has the events with it
// unless they are large, and says what came before. So a topic on which nothing
// happens costs no more than its name, here and there, and what does not join on
// to what a node has is read from the stream, in pages of a bounded size.
//
// A user of Redis's ACL needs the keys and the channels that begin with
// [Options.Prefix], and the commands of the scripts: +eval +evalsha +evalsha_ro
// +script|load +ssubscribe +sunsubscribe +spublish +xadd +xtrim +xrange +xlen
// +xinfo|stream +hset +hget +hmget +hgetall +hdel +hlen +lrange +lpop +rpush +del
// +pexpire +time +ping +info, and +memory|usage for streams of an older version.
//
// # What is safe
//
// Publish returns nil once Redis has taken the events; how long they last is
// then up to Redis's own configuration (appendonly, appendfsync, replicas).
// When it returns an error, the events are not in, except for an error that
// wraps [ErrUnconfirmed]: Redis did not answer, and they may be in or not. No
// publish is ever repeated by this package, so an event is never in twice. A
// caller may repeat one whose events have an ID of their own (ForeignID): those
// that are in already are not put in again.
//
// # What a follower notices
//
// A follower compares what Redis says of a stream with what it has read, the
// last ID and how many entries were ever added: whenever it connects, with each
// publication, and from time to time ([Options.Check]). So it finds out when Redis was
// restarted without its data or with older data, when a replica took over that
// lacked the last events, when the stream was deleted, and when it was trimmed
// further than this node had read. It resets the log accordingly, and every
// client is told of the gap. Publishing nodes also know what Redis has
// acknowledged to them, so a loss is noticed even before the event came back.
//
// Once a second it is tried whether Redis takes events. A topic of a Redis that can be
// read and takes none is reported as out of touch; it is served nevertheless.
package redislog

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/stream"
	"weir/stream/eventlog"
)

// ErrUnconfirmed marks, by errors.Is, a publish to which Redis did not answer:
// the events may be in, or not.
var ErrUnconfirmed = errors.New("it is not known whether the events are in")

// Defaults of [Options].
const (
	DefaultPrefix  = "weir:"
	DefaultTimeout = 2 * time.Second
	DefaultCheck   = time.Second
)

// Options configure a [Broker]. Only URL is needed.
type Options struct {
	// URL says where Redis is:
	//
	//	redis://[user:password@]host[:port][/database]
	//	unix:///path/to/socket
	//	redis+sentinel://[user:password@]host:port,host:port/master-name[?db=0]
	//	redis+cluster://[user:password@]host:port,host:port
	//
	// With rediss instead of redis it speaks TLS. For Sentinels that want a
	// password of their own: ?sentinel_username=…&sentinel_password=….
	URL string
	// TLS replaces the configuration for rediss://. Default: the system's
	// certificate authorities, and the host as the server's name.
	TLS *tls.Config
	// Prefix begins the name of every key. Default: DefaultPrefix.
	Prefix string
	// MaxLen is about how many events of a topic Redis keeps; it may keep a
	// few more. Default: eventlog.DefaultHistory.
	MaxLen int64
	// MaxBytes bounds the size of the events of a topic that Redis keeps; the
	// newest is kept whatever its size. Default: eventlog.DefaultBytes.
	MaxBytes int64
	// Limits are those of a topic, where they are others. Default: MaxLen and
	// MaxBytes for all topics, which do not expire.
	Limits func(topic string) Limits
	// Node is the name of this process in the cluster view. Default: the host's
	// name.
	Node string
	// Timeout bounds how long Publish, Ping and every other exchange with
	// Redis may take. Default: DefaultTimeout.
	Timeout time.Duration
	// Check is how long a follower goes at most without looking whether Redis
	// has lost events; with more than 500 topics, longer. Default: DefaultCheck.
	Check time.Duration
	// Logger takes what no caller is told. Default: slog.Default().
	Logger *slog.Logger
}

// Limits are what Redis keeps of one topic. What is zero is as Options say.
type Limits struct {
	MaxLen, MaxBytes int64
	// Expire is how long Redis keeps a topic to which nothing is published and
	// that no node follows. Zero is for ever.
	Expire time.Duration
}

// A Broker keeps events in Redis streams. Its methods may be called by any
// goroutine.
type Broker struct {
	opts     Options
	servers  *servers
	logger   *slog.Logger
	instance string // tells this process from others of the same name

	mu     sync.Mutex
	closed bool
	shards map[*redis.Client]*shard
	topics map[string][]*following // by topic: to know what was acknowledged
	// undecided counts, by topic, the publications with a checkpoint of which
	// it is not known whether they are in.
	undecided map[string]int64
	// In a cluster, homeless are the followings that have no shard yet.
	homeless []*following
	sorting  chan struct{}
	stopSort func()
}

var errClosed = errors.New("the connections to Redis are closed")

// Open connects to Redis. The error is one line that says what is wrong and
// never shows the password; it wraps [stream.ErrUnavailable] when trying again
// later may help.
func Open(ctx context.Context, opts Options) (*Broker, error) {
	at, err := parseURL(opts.URL)
	if err != nil {
		return nil, err
	}
	if opts.Prefix == "" {
		opts.Prefix = DefaultPrefix
	}
	if opts.MaxLen <= 0 {
		opts.MaxLen = eventlog.DefaultHistory
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = eventlog.DefaultBytes
	}
	if opts.Node == "" {
		opts.Node, _ = os.Hostname() // empty is as good
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Check <= 0 {
		opts.Check = DefaultCheck
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	b := &Broker{
		opts:     opts,
		servers:  connect(at, &opts),
		logger:   opts.Logger,
		instance: hex.EncodeToString(random[:]),
		shards:   make(map[*redis.Client]*shard),
		topics:   make(map[string][]*following),

		undecided: make(map[string]int64),
		sorting:   make(chan struct{}, 1),
		stopSort:  func() {},
	}
	if at.kind == cluster {
		sorting, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		b.stopSort = func() { cancel(); <-done }
		go func() {
			defer close(done)
			b.sort(sorting)
		}()
	}
	if err := b.greet(ctx); err != nil {
		_ = b.Close() // err says why already
		return nil, err
	}
	return b, nil
}

// Close ends the following of all topics, and closes the connections to Redis.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	shards, homeless := b.shards, b.homeless
	b.shards, b.homeless = nil, nil
	b.mu.Unlock()
	b.stopSort()
	for _, s := range shards {
		s.close()
		s.lost(errClosed)
	}
	for _, f := range homeless {
		f.failed(errClosed)
	}
	return b.servers.close()
}

// Follow implements [stream.Broker].
func (b *Broker) Follow(topic string, log *eventlog.Log, report func(error)) (stop func()) {
	f := &following{broker: b, topic: topic, key: b.key(topic), log: log, report: report}
	b.mu.Lock()
	b.topics[topic] = append(b.topics[topic], f)
	b.mu.Unlock()
	b.assign(f)
	return sync.OnceFunc(func() {
		f.stop()
		b.mu.Lock()
		var left []*following
		for _, other := range b.topics[topic] {
			if other != f {
				left = append(left, other)
			}
		}
		if b.topics[topic] = left; left == nil {
			delete(b.topics, topic)
		}
		b.mu.Unlock()
		b.release(f)
	})
}

// limits returns what Redis keeps of a topic.
func (b *Broker) limits(topic string) Limits {
	var l Limits
	if b.opts.Limits != nil {
		l = b.opts.Limits(topic)
	}
	if l.MaxLen <= 0 {
		l.MaxLen = b.opts.MaxLen
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = b.opts.MaxBytes
	}
	return l
}

// acknowledged notes what Redis has taken, so that its loss is noticed even if
// it never comes back.
func (b *Broker) acknowledged(topic string, id stream.ID) {
	b.mu.Lock()
	followings := b.topics[topic]
	b.mu.Unlock()
	for _, f := range followings {
		f.mu.Lock()
		if id.After(f.acked) {
			f.acked = id
		}
		f.mu.Unlock()
	}
}
