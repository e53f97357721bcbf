// Package redislog carries events between processes by Redis streams: it is
// the [stream.Broker] for several nodes.
//
// Each topic is one Redis stream, trimmed by length, and Redis numbers the
// events. Every node follows the stream into its own log, so a client may
// resume on any node. It needs Redis 7 or later, or what speaks like it. It does
// not speak to Sentinel or to Redis Cluster: where replicas take over, the URL
// has to lead to the primary.
//
// # What is safe
//
// Publish returns nil once Redis has taken the events; how long they last is
// then up to Redis's own configuration (appendonly, appendfsync, replicas).
// When it returns an error, the events are not in, except for an error that
// wraps [ErrUnconfirmed]: Redis did not answer, and they may be in or not. No
// publish is ever repeated by this package, so an event is never in twice.
//
// # What a follower notices
//
// A follower compares, whenever it connects and at least every
// [Options.Check], what Redis says of the stream with what it has read: the
// last ID, and how many entries were ever added. So it finds out when Redis was
// restarted without its data or with older data, when a replica took over that
// lacked the last events, when the stream was deleted, and when it was trimmed
// further than this node had read. It resets the log accordingly, and every
// client is told of the gap. Publishing nodes also know what Redis has
// acknowledged to them, so a loss is noticed even before the event came back.
package redislog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/stream"
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
	// URL says where Redis is: redis://[user:password@]host[:port][/database],
	// rediss:// with TLS, or unix:///path/to/socket.
	URL string
	// TLS replaces the configuration for rediss://. Default: the system's
	// certificate authorities, and the URL's host as the server's name.
	TLS *tls.Config
	// Prefix begins the name of every key. Default: DefaultPrefix.
	Prefix string
	// MaxLen is about how many events of a topic Redis keeps; it may keep a
	// few more. Default: stream.DefaultHistory.
	MaxLen int64
	// Node is the name of this process in the cluster view. Default: the host's
	// name and the process ID.
	Node string
	// Timeout bounds how long Publish, Ping and every other exchange with
	// Redis may take. Default: DefaultTimeout.
	Timeout time.Duration
	// Check is how long a follower goes at most without looking whether Redis
	// has lost events. Default: DefaultCheck.
	Check time.Duration
	// Logger takes what no caller is told. Default: slog.Default().
	Logger *slog.Logger
}

// A Broker keeps events in Redis streams. Its methods may be called by any
// goroutine.
type Broker struct {
	opts   Options
	redis  redis.Options
	client *redis.Client // for all but following
	logger *slog.Logger

	mu        sync.Mutex
	acked     map[string]stream.ID      // by topic: the newest that Redis acknowledged
	positions map[*stream.Log]*position // how far each log has followed
}

// Open connects to Redis. The error is one line that says what is wrong and
// never shows the password; it wraps [stream.ErrUnavailable] when trying again
// later may help.
func Open(ctx context.Context, opts Options) (*Broker, error) {
	quiet()
	conn, err := parseURL(opts.URL)
	if err != nil {
		return nil, err
	}
	if opts.Prefix == "" {
		opts.Prefix = DefaultPrefix
	}
	if opts.MaxLen <= 0 {
		opts.MaxLen = stream.DefaultHistory
	}
	if opts.Node == "" {
		host, _ := os.Hostname() // empty is as good
		opts.Node = host + "-" + strconv.Itoa(os.Getpid())
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
	if conn.TLSConfig != nil && opts.TLS != nil {
		name := conn.TLSConfig.ServerName
		conn.TLSConfig = opts.TLS.Clone()
		if conn.TLSConfig.ServerName == "" {
			conn.TLSConfig.ServerName = name
		}
	}
	conn.DialTimeout, conn.ReadTimeout, conn.WriteTimeout, conn.PoolTimeout = opts.Timeout, opts.Timeout, opts.Timeout, opts.Timeout
	conn.ContextTimeoutEnabled = true
	// The library's repetitions would turn a lost answer into an event that is
	// in twice; and the callers here come again by themselves.
	conn.MaxRetries, conn.DialerRetries = -1, 1
	conn.PipelinePoolSize = -1
	b := &Broker{
		opts:      opts,
		redis:     *conn,
		logger:    opts.Logger,
		acked:     make(map[string]stream.ID),
		positions: make(map[*stream.Log]*position),
	}
	b.client = b.connect(0)
	if err := b.greet(ctx); err != nil {
		_ = b.client.Close()
		return nil, fmt.Errorf("redis at %s: %w", conn.Addr, err)
	}
	return b, nil
}

// quiet silences the library, which writes to stderr what it returns as well.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Close closes the connections to Redis. Followers are ended by their own
// contexts.
func (b *Broker) Close() error { return b.client.Close() }

// connect returns a client with options of its own: the library writes to them.
func (b *Broker) connect(poolSize int) *redis.Client {
	opts := b.redis
	opts.MaintNotificationsConfig = maintenanceOff()
	if poolSize > 0 {
		opts.PoolSize = poolSize
	}
	return redis.NewClient(&opts)
}

// parseURL reads the URL. What is wrong with it is said in own words: the
// parser's would show the password.
func parseURL(text string) (*redis.Options, error) {
	const want = "want redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path"
	bad := func(why string) error { return fmt.Errorf("bad Redis URL: %s; %s", why, want) }
	if text == "" {
		return nil, bad("it is empty")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, bad("it is no URL (a special character in the password must be percent-encoded)")
	}
	switch u.Scheme {
	case "redis", "rediss":
		if u.Opaque != "" || u.Hostname() == "" {
			return nil, bad("it names no host")
		}
		if p := u.Port(); p != "" {
			if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
				return nil, bad("its port is not between 1 and 65535")
			}
		}
		if db := strings.Trim(u.Path, "/"); db != "" {
			if n, err := strconv.Atoi(db); err != nil || n < 0 {
				return nil, bad("its database is not a number")
			}
		}
	case "unix":
		if u.Path == "" {
			return nil, bad("it names no socket")
		}
	default:
		return nil, bad("its scheme is neither redis, rediss nor unix")
	}
	opts, err := redis.ParseURL(text)
	if err != nil {
		return nil, bad("its query has an unknown parameter or a bad value")
	}
	if _, set := u.User.Password(); u.User != nil && !set {
		// redis://secret@host is what many write for a password alone; the
		// server would say that the password is missing.
		return nil, bad("it has a user without a password (for a password alone write redis://:password@host)")
	}
	return opts, nil
}

// greet finds out whether Redis answers and is recent enough.
func (b *Broker) greet(ctx context.Context) error {
	if err := b.Ping(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	info, err := b.client.Info(ctx, "server").Result()
	if err != nil {
		return nil // not everybody may ask; the streams will tell
	}
	for line := range strings.Lines(info) {
		version, found := strings.CutPrefix(strings.TrimSpace(line), "redis_version:")
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); found && err == nil && n < 7 {
			return fmt.Errorf("it is version %s, and version 7 or later is needed", version)
		}
	}
	return nil
}

// Ping reports whether Redis is there and takes commands. The error is as that
// of Open.
func (b *Broker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	err := b.client.Ping(ctx).Err()
	switch {
	case err == nil:
		return nil
	case refused(err, "NOAUTH"):
		return errors.New("it wants a password: write redis://:password@host")
	case refused(err, "WRONGPASS"), refused(err, "ERR AUTH"), refused(err, "ERR invalid password"):
		return errors.New("it refuses the user or the password")
	case refused(err, "ERR DB index"), refused(err, "NOPERM"):
		return errors.New(err.Error())
	case isTLS(err):
		return fmt.Errorf("TLS: %w", err)
	}
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		why := fmt.Sprintf("no answer within %s", b.opts.Timeout)
		if b.redis.TLSConfig != nil {
			why += " (rediss:// is for a port with TLS)"
		}
		return unreachable{why, err}
	case errors.Is(err, io.EOF) && b.redis.TLSConfig == nil:
		return unreachable{"it hangs up (a port with TLS wants rediss://)", err}
	}
	return unreachable{err.Error(), err}
}

// unreachable is an ErrUnavailable that says only what is wrong.
type unreachable struct {
	why   string
	cause error
}

func (e unreachable) Error() string   { return e.why }
func (e unreachable) Unwrap() []error { return []error{stream.ErrUnavailable, e.cause} }

// unavailable wraps a failure to reach Redis, or its refusal.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", stream.ErrUnavailable, err)
}

func refused(err error, prefix string) bool {
	var r redis.Error
	return errors.As(err, &r) && strings.HasPrefix(r.Error(), prefix)
}

func isTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &verify) || errors.As(err, &header) || errors.As(err, &alert)
}

func (b *Broker) acknowledged(topic string, id stream.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id.After(b.acked[topic]) {
		b.acked[topic] = id
	}
}

func (b *Broker) lastAcked(topic string) stream.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked[topic]
}

// forget drops what was acknowledged: it is lost, and that has been told.
func (b *Broker) forget(topic string, id stream.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.acked[topic] == id {
		delete(b.acked, topic)
	}
}

func (b *Broker) position(log *stream.Log) *position {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.positions[log]
	if p == nil {
		p = &position{page: maxPage}
		b.positions[log] = p
	}
	return p
}
