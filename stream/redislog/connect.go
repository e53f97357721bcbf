package redislog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"weir/stream"
)

// servers are the connections to Redis, whichever way it is reached.
type servers struct {
	at      *address
	single  *redis.Client        // one server, or the one that Sentinels name
	cluster *redis.ClusterClient // nil, but for a cluster
	tls     bool
}

// quiet silences the library, which writes to stderr what it returns as well.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// connect makes the clients. It connects to nothing yet.
func connect(at *address, o *Options) *servers {
	quiet()
	c := at.options
	if c.TLSConfig != nil && o.TLS != nil {
		name := c.TLSConfig.ServerName
		c.TLSConfig = o.TLS.Clone()
		if c.TLSConfig.ServerName == "" && at.kind == oneServer {
			c.TLSConfig.ServerName = name
		}
	}
	c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	c.ContextTimeoutEnabled = true
	// The library's repetitions would turn a lost answer into an event that is
	// in twice; and the callers here come again by themselves.
	c.MaxRetries, c.DialerRetries = -1, 1
	c.PipelinePoolSize = -1
	c.Protocol = 2
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	secure := c.TLSConfig
	c.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr, secure)
		if err != nil {
			return nil, err
		}
		return guarded(conn), nil
	}
	c.TLSConfig = nil // the dialer sees to it
	s := &servers{at: at, tls: secure != nil}
	switch at.kind {
	case sentinels:
		s.single = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: at.master, SentinelAddrs: at.addrs,
			SentinelUsername: at.sentinelUser, SentinelPassword: at.sentinelPassword,
			Dialer: c.Dialer, Protocol: c.Protocol, Username: c.Username, Password: c.Password, DB: c.DB,
			MaxRetries: c.MaxRetries, DialerRetries: c.DialerRetries, PipelinePoolSize: c.PipelinePoolSize,
			DialTimeout: c.DialTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout, PoolTimeout: c.PoolTimeout,
			PoolSize: c.PoolSize, ContextTimeoutEnabled: true,
		})
	case cluster:
		s.cluster = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs:  at.addrs,
			Dialer: c.Dialer, Protocol: c.Protocol, Username: c.Username, Password: c.Password,
			MaxRedirects: 3, MaxRetries: c.MaxRetries, DialerRetries: c.DialerRetries, PipelinePoolSize: c.PipelinePoolSize,
			DialTimeout: c.DialTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout, PoolTimeout: c.PoolTimeout,
			PoolSize: c.PoolSize, ContextTimeoutEnabled: true, MaintNotificationsConfig: c.MaintNotificationsConfig,
		})
	default:
		s.single = redis.NewClient(c)
	}
	return s
}

// dial connects, with TLS where there is a configuration for it.
func dial(ctx context.Context, network, addr string, secure *tls.Config) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15e9, Interval: 5e9, Count: 3}}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil || secure == nil {
		return conn, err
	}
	if secure.ServerName == "" {
		secure = secure.Clone()
		if secure.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			secure.ServerName = addr
		}
	}
	protected := tls.Client(conn, secure)
	if err := protected.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return protected, nil
}

func (s *servers) close() error {
	if s.cluster != nil {
		return s.cluster.Close()
	}
	return s.single.Close()
}

// forKey returns the client of the server that has a key.
func (s *servers) forKey(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster == nil {
		return s.single, nil
	}
	return s.cluster.MasterForKey(ctx, key)
}

// run runs a script at the server that has a key. It repeats only what a server
// has refused because another one has the key.
func (b *Broker) run(ctx context.Context, script *redis.Script, key string, keys []string, args []any) (any, error) {
	for tries := 0; ; tries++ {
		client, err := b.servers.forKey(ctx, key)
		if err != nil {
			return nil, notReached{err}
		}
		answer, err := script.Run(ctx, client, keys, args...).Result()
		if !refused(err, "MOVED") || tries == 2 {
			return answer, err
		}
		b.servers.cluster.ReloadState(ctx)
		// ReloadState works in the background; ForEachMaster waits for it.
		_ = b.servers.cluster.ForEachMaster(ctx, func(context.Context, *redis.Client) error { return nil })
	}
}

// notReached is the error of what has not been sent.
type notReached struct{ error }

func (e notReached) Unwrap() error { return e.error }

// greet finds out whether Redis answers and is recent enough, and begins the
// pulse.
func (b *Broker) greet(ctx context.Context) error {
	wrap := func(err error) error { return fmt.Errorf("%v: %w", b.servers.at, err) }
	if err := b.Ping(ctx); err != nil {
		return wrap(err)
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	clients, err := b.servers.all(ctx)
	if err != nil {
		return wrap(unreachable{err.Error(), err})
	}
	for _, client := range clients {
		info, err := client.Info(ctx, "server").Result()
		if err != nil {
			continue // not everybody may ask; the streams will tell
		}
		for line := range strings.Lines(info) {
			version, found := strings.CutPrefix(strings.TrimSpace(line), "redis_version:")
			major, _, _ := strings.Cut(version, ".")
			if n, err := strconv.Atoi(major); found && err == nil && n < 7 {
				return wrap(fmt.Errorf("it is version %s, and version 7 or later is needed", version))
			}
		}
	}
	for _, client := range clients {
		if _, err := b.shardOf(ctx, client); err != nil {
			return wrap(err)
		}
	}
	return nil
}

// all returns a client for each server that takes writes.
func (s *servers) all(ctx context.Context) ([]*redis.Client, error) {
	if s.cluster == nil {
		return []*redis.Client{s.single}, nil
	}
	var mu sync.Mutex
	var clients []*redis.Client
	err := s.cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		clients = append(clients, c)
		return nil
	})
	return clients, err
}

// Ping reports whether Redis is there and answers. The error is as that of
// Open. Whether Redis takes events is another question: see [Broker.Ready].
func (b *Broker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	clients, err := b.servers.all(ctx)
	for _, c := range clients {
		if err == nil {
			err = c.Ping(ctx).Err()
		}
	}
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
	case errors.Is(err, errAnswer):
		return fmt.Errorf("it is no Redis: %w", err)
	}
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		why := fmt.Sprintf("no answer within %s", b.opts.Timeout)
		if b.servers.tls {
			why += " (rediss:// is for a port with TLS)"
		}
		return unreachable{why, err}
	case (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && !b.servers.tls:
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
