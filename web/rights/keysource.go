package rights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// keysFresh is after how long keys are fetched again.
	keysFresh = 10 * time.Minute
	// keysPause is how long nothing is fetched after an attempt, whatever key
	// IDs tokens make up.
	keysPause = 30 * time.Second
	// keysTimeout bounds one attempt.
	keysTimeout = 4 * time.Second
)

// A keySource has the present keys. Keys of a file are read when the process is
// told to reload. Keys of a URL are fetched again when they are old, or when a token
// names a key that is not among them. While the URL does not answer, the keys stay
// as they were.
type keySource struct {
	place  string
	remote bool
	client *http.Client
	logger *slog.Logger
	set    atomic.Pointer[keySet] // nil: never read

	mu       sync.Mutex
	tried    time.Time     // when the last attempt began
	fetched  time.Time     // when the last one that succeeded did
	fetching chan struct{} // closed when the attempt under way is over; nil: none is
}

func newKeySource(place string, logger *slog.Logger) (*keySource, error) {
	k := &keySource{place: place, logger: logger}
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return k, nil
	}
	k.remote = true
	if err := trustedURL(u); err != nil {
		return nil, err
	}
	k.client = &http.Client{Timeout: keysTimeout, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > 3 {
			return errors.New("too many redirects")
		}
		return trustedURL(req.URL)
	}}
	return k, nil
}

// trustedURL returns an error for a URL that is neither https nor on this machine:
// on the way from there anybody could put in keys of their own.
func trustedURL(u *url.URL) error {
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "https" || u.Hostname() == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	return fmt.Errorf("keys are fetched by https, not from %s://%s", u.Scheme, u.Host)
}

// reload reads the keys now. A URL that does not answer is no error: it may
// later.
func (k *keySource) reload() error {
	if !k.remote {
		text, err := ReadFile(k.place, maxKeyFile)
		if err != nil {
			return err
		}
		set, err := parseKeys(text, true)
		if err != nil {
			return fmt.Errorf("%s: %w", k.place, err)
		}
		k.set.Store(set)
		return nil
	}
	k.mu.Lock()
	k.tried = time.Time{}
	k.mu.Unlock()
	k.refresh(context.Background())
	return nil
}

// refresh fetches the keys, or waits for the attempt that is under way. tried is
// false if no attempt was made or ctx ended first; wait says when to ask again.
func (k *keySource) refresh(ctx context.Context) (tried bool, wait time.Duration) {
	k.mu.Lock()
	if k.fetching == nil {
		now := time.Now()
		if wait := k.tried.Add(keysPause).Sub(now); wait > 0 {
			k.mu.Unlock()
			return false, wait
		}
		k.tried, k.fetching = now, make(chan struct{})
		go k.fetch(now, k.fetching)
	}
	done := k.fetching
	k.mu.Unlock()
	select {
	case <-done:
		return true, 0
	case <-ctx.Done():
		return false, time.Second
	}
}

// fetch runs in a goroutine of its own, which the client's timeout bounds. It goes
// on when the request that caused it has ended, because others wait for the keys.
func (k *keySource) fetch(began time.Time, done chan struct{}) {
	set, err := k.get()
	if err != nil {
		k.logger.Warn("the keys for JSON Web Tokens were not fetched, those that there are stay", "error", err)
	} else {
		k.set.Store(set)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.fetched = began
	}
	k.fetching = nil
	close(done)
}

func (k *keySource) get() (*keySet, error) {
	resp, err := k.client.Get(k.place)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", k.place, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s: the answer is too large", k.place)
	}
	set, err := parseKeys(text, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.place, err)
	}
	return set, nil
}

// current returns the keys. When they are old it has them fetched again, and
// does not wait.
func (k *keySource) current() *keySet {
	if k.remote {
		k.mu.Lock()
		old := time.Since(k.fetched) > keysFresh
		k.mu.Unlock()
		if old {
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			k.refresh(gone)
		}
	}
	return k.set.Load()
}

// verify returns the holder of a JSON Web Token. The token must be signed by one
// of the keys, must expire and not have expired, and must be for the audience,
// if there is one. Nothing in it is followed or fetched.
func (k *keySource) verify(ctx context.Context, text, audience string) (*Holder, *Denial) {
	if len(text) > maxJWT {
		return nil, unauthorized(ReasonToken, fmt.Sprintf("The token is longer than %d bytes.", maxJWT))
	}
	token, err := jwt.ParseSigned(text, allAlgorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, unauthorized(ReasonToken, "The token is not valid: it is no signed JSON Web Token, or by an algorithm that is not accepted.")
	}
	header := token.Headers[0]
	keys, denial := k.find(ctx, header)
	if denial != nil {
		return nil, denial
	}
	var standard jwt.Claims
	var own claims
	err = errors.New("unsigned")
	for _, key := range keys {
		if err = token.Claims(key.Key, &standard, &own); err == nil {
			break
		}
	}
	if err != nil {
		return nil, unauthorized(ReasonToken, "The token is not valid: its signature or its claims are wrong.")
	}
	now := time.Now()
	switch {
	case standard.Expiry == nil:
		return nil, unauthorized(ReasonToken, "The token is not valid: it never expires, which is not accepted (claim exp).")
	case !now.Before(standard.Expiry.Time()):
		return nil, unauthorized(ReasonTokenExpired, "The token has expired.")
	case standard.NotBefore != nil && now.Add(skew).Before(standard.NotBefore.Time()):
		return nil, unauthorized(ReasonToken, "The token is not valid yet.")
	case audience != "" && !standard.Audience.Contains(audience):
		return nil, unauthorized(ReasonToken, "The token is not valid: it is for another audience.")
	}
	h := &Holder{Identity: identity(standard.Subject), Expires: standard.Expiry.Time(), grants: make(map[Action]grants)}
	for action, texts := range map[Action][]string{Subscribe: own.Weir.Subscribe, Publish: own.Weir.Publish} {
		for _, text := range texts {
			grant, err := ParseGrant(text)
			if err != nil {
				return nil, unauthorized(ReasonToken, "The token is not valid: its claim weir has a "+err.Error()+".")
			}
			h.grants[action] = append(h.grants[action], grant)
		}
	}
	return h, nil
}

// find returns the keys that may have signed a token. When there is none it
// looks for new ones, as often as that is allowed.
func (k *keySource) find(ctx context.Context, header jose.Header) ([]jose.JSONWebKey, *Denial) {
	set := k.current()
	if set != nil {
		if keys := set.candidates(header); len(keys) > 0 {
			return keys, nil
		}
	}
	unknown := unauthorized(ReasonToken, "The token is not valid: no key that is known can have signed it.")
	if !k.remote {
		return nil, unknown
	}
	tried, wait := k.refresh(ctx)
	if set := k.set.Load(); set != nil {
		if keys := set.candidates(header); len(keys) > 0 {
			return keys, nil
		}
		if tried {
			return nil, unknown
		}
	}
	return nil, &Denial{Status: http.StatusServiceUnavailable, Reason: ReasonKeys, RetryAfter: max(wait, time.Second),
		Detail: "The key of this token is not known, and could not be asked for just now. Try again in a moment."}
}
