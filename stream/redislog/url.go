package redislog

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrURL marks, by errors.Is, that Options.URL is not one that can be.
var ErrURL = errors.New("bad Redis URL")

// An address says where Redis is, and how to get in.
type address struct {
	kind    kind
	addrs   []string // of the server, of Sentinels, or of servers of a cluster
	master  string   // the name by which Sentinels know it
	options *redis.Options
	// What Sentinels want.
	sentinelUser, sentinelPassword string
}

type kind int

const (
	oneServer kind = iota
	sentinels
	cluster
)

// String names the address without what is secret.
func (a *address) String() string {
	switch a.kind {
	case sentinels:
		return "redis " + a.master + " by the sentinels " + strings.Join(a.addrs, ", ")
	case cluster:
		return "redis cluster at " + strings.Join(a.addrs, ", ")
	}
	return "redis at " + a.addrs[0]
}

// forms says how a URL may look.
const forms = "want redis://[user:password@]host[:port][/database], rediss:// for TLS, unix:///path, " +
	"redis+sentinel://host:port,host:port/master-name, or redis+cluster://host:port,host:port"

// parseURL reads the URL. What is wrong with it is said in own words: the
// parser's would show the password.
func parseURL(text string) (*address, error) {
	a, err := parseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrURL, err, forms)
	}
	return a, nil
}

func parseAddress(text string) (*address, error) {
	if text == "" {
		return nil, errors.New("it is empty")
	}
	a := &address{}
	scheme, rest, _ := strings.Cut(text, "://")
	base, way, several := strings.Cut(scheme, "+")
	switch {
	case !several:
	case way == "sentinel" && (base == "redis" || base == "rediss"):
		a.kind = sentinels
	case way == "cluster" && (base == "redis" || base == "rediss"):
		a.kind = cluster
	default:
		return nil, errors.New("its scheme is neither redis, rediss, unix, redis+sentinel nor redis+cluster")
	}
	if a.kind != oneServer {
		// Only the first host goes through the parser, which knows no lists.
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		begin := strings.LastIndex(rest[:end], "@") + 1
		a.addrs = strings.Split(rest[begin:end], ",")
		text = base + "://" + rest[:begin] + a.addrs[0] + rest[end:]
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is no URL (a special character in the password must be percent-encoded)")
	}
	if err := a.check(u); err != nil {
		return nil, err
	}
	if a.options, err = redis.ParseURL(u.String()); err != nil {
		return nil, errors.New("its query has an unknown parameter or a bad value")
	}
	if _, set := u.User.Password(); u.User != nil && !set {
		// redis://secret@host is what many write for a password alone; the
		// server would say that the password is missing.
		return nil, errors.New("it has a user without a password (for a password alone write redis://:password@host)")
	}
	if a.kind == oneServer {
		a.addrs = []string{a.options.Addr}
	}
	return a, nil
}

// check takes what belongs to Sentinels out of the URL, and finds out what is
// wrong with the rest.
func (a *address) check(u *url.URL) error {
	if u.Scheme == "unix" {
		if u.Path == "" {
			return errors.New("it names no socket")
		}
		return nil
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return errors.New("its scheme is neither redis, rediss, unix, redis+sentinel nor redis+cluster")
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return errors.New("it names no host")
	}
	if p := u.Port(); p != "" && !validPort(p) {
		return errors.New("its port is not between 1 and 65535")
	}
	for i, addr := range a.addrs {
		host, port, err := net.SplitHostPort(addr)
		if err != nil || host == "" || !validPort(port) || slices.Contains(a.addrs[:i], addr) {
			return fmt.Errorf("%.100q is not one more host:port", addr)
		}
	}
	database := strings.Trim(u.Path, "/")
	query := u.Query()
	switch a.kind {
	case sentinels:
		if a.master = database; a.master == "" || strings.Contains(a.master, "/") {
			return errors.New("it does not name the master, as the Sentinels know it")
		}
		a.sentinelUser, a.sentinelPassword = query.Get("sentinel_username"), query.Get("sentinel_password")
		query.Del("sentinel_username")
		query.Del("sentinel_password")
		database = query.Get("db")
		query.Del("db")
		u.Path, u.RawQuery = "/"+database, query.Encode()
	case cluster:
		if database != "" || query.Has("db") {
			return errors.New("a cluster has no databases")
		}
	}
	if database != "" {
		if n, err := strconv.Atoi(database); err != nil || n < 0 {
			return errors.New("its database is not a number")
		}
	}
	return nil
}

func validPort(p string) bool {
	n, err := strconv.Atoi(p)
	return err == nil && n >= 1 && n <= 65535
}
