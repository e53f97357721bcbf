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

// A keySource has the present keys: those of a file, which are read when the
// process is told to reload, or those of a URL, which are fetched again when
// they are old or a token names one that is not among them. While the URL does
// not answer, the keys stay as they were.
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

// trustedURL refuses to take keys by a way on which anybody could put in their
// own.
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
		text, err := readFile(k.place, maxKeyFile)
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

// refresh fetches the keys, or waits for the attempt that is under way. It
// reports false when it is too early for another attempt, and for how long.
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

// fetch has a goroutine of its own, which ends by the client's timeout: whoever
// waits may go, the others still want the keys.
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
