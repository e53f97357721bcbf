package redislog_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/redislog"
)

// A client changes nodes while events come: none is missed or comes twice.
func TestResumeOnAnotherNode(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	one, two := newNode(t, redislog.Options{URL: s.url()}), newNode(t, redislog.Options{URL: s.url()})
	const events = 400
	c := one.connect(stream.ID{}) // before the first event: it has no ID to resume from
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range events {
			if _, err := []*node{one, two}[i%2].publish(i); err != nil {
				t.Errorf("publish %d: %v", i, err)
				return
			}
		}
	}()
	var got []int
	var last stream.ID
	for turn := 0; len(got) < events; turn++ {
		if turn > 0 {
			c = []*node{one, two}[turn%2].connect(last)
		}
		want := min(len(got)+50, events) - 1
		c.awaitNumber(want)
		c.cancel()
		for _, m := range c.messages() {
			if m.event == "gap" {
				t.Fatalf("told of a gap: %+v", m)
			}
			if m.event == "message" && m.number <= want {
				got, last = append(got, m.number), m.id
			}
		}
		if !slices.Equal(got, upTo(0, want+1)) {
			t.Fatalf("turn %d: got %v, want all up to %d", turn, got, want)
		}
	}
	<-published
	if !slices.Equal(got, upTo(0, events)) {
		t.Errorf("got %v", got)
	}
}

// A node that was restarted serves what Redis holds, and says what Redis no
// longer holds.
func TestRestartedNode(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	opts := redislog.Options{URL: s.url(), MaxLen: 100}
	before := newNode(t, opts)
	ids := before.mustPublish(0, 50)
	before.close()
	after := newNode(t, opts)
	c := after.connect(ids[9])
	c.awaitNumber(49)
	c.wants(upTo(10, 50), 0)
	after.mustPublish(50, 500)
	late := newNode(t, opts).connect(ids[9])
	late.awaitNumber(499)
	all := late.messages()
	first := slices.IndexFunc(all, func(m message) bool { return m.event == "message" })
	late.wants(upTo(all[first].number, 500), 0, eventlog.GapRestart)
}

// Redis is away when a topic is opened: no stream opens, since an empty log
// would tell of gaps that are none, until Redis is back.
func TestAwayAtStart(t *testing.T) {
	t.Parallel()
	s := startRedis(t, persistent...)
	link := newProxy(t, s.addr())
	b := openBroker(t, redislog.Options{URL: link.url()})
	ids := newNode(t, redislog.Options{URL: s.url()}).mustPublish(0, 10)
	link.set(linkCut)
	n := newNodeStarting(t, b)
	n.awaitState(stream.SourceDown)
	resp, err := n.server.Client().Get(n.server.URL + "/?topic=" + topic)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 503 {
		t.Fatalf("a stream before anything was followed: %s, want 503", resp.Status)
	}
	link.set(linkUp)
	n.awaitState(stream.SourceUp)
	c := n.connect(ids[4])
	c.awaitNumber(9)
	all := c.messages()
	c.wants(upTo(5, 10), count(all, "stream-error"))
}

// What Redis refuses is not in, and the error says so.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url()})
	c := n.connect(stream.ID{})
	batch := func() error {
		_, err := n.hub.Publish(t.Context(), topic, stream.Event{Data: []byte("1")}, stream.Event{Data: []byte("2")})
		return err
	}
	for _, fault := range []struct {
		name       string
		set, unset []any
	}{
		{"full", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		{"replica", []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		s.do(fault.set...)
		if n.refuses(-1, time.Second) {
			t.Errorf("%s: it is said that the event may be in", fault.name)
		}
		if err := batch(); !errors.Is(err, stream.ErrUnavailable) || errors.Is(err, redislog.ErrUnconfirmed) {
			t.Errorf("%s: a batch: %v, want a plain ErrUnavailable", fault.name, err)
		}
		s.do(fault.unset...)
	}
	n.mustPublish(5, 6)
	c.awaitNumber(5)
	c.wants([]int{5}, 0)
}

// Another program has written into the stream: that is left out, told once,
// and the rest goes on.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	n := newNode(t, redislog.Options{URL: s.url()})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 2)
	for _, fields := range [][]any{
		{"hello", "world"},
		{"v", "2", "a", "{}", "d", "1"},
		{"v", "1", "a", "{", "d", "1"},
		{"v", "1", "a", "{}", "d", "no JSON"},
		{"v", "1", "a", `{"t":"a\nb"}`, "d", "1"},
	} {
		s.do(append([]any{"XADD", "weir:topic:" + topic, "*"}, fields...)...)
	}
	c.awaitCount("stream-error", 5)
	n.mustPublish(2, 4)
	c.awaitNumber(3)
	c.wants(upTo(0, 4), 5)
	// One that starts later meets them in the backlog.
	late := newNode(t, redislog.Options{URL: s.url()})
	late.mustPublish(4, 5)
	resumed := late.connect(c.messages()[1].id)
	resumed.awaitNumber(4)
	resumed.wants(upTo(1, 5), 0)
}

func TestPassword(t *testing.T) {
	t.Parallel()
	const secret = "p@ss/word:%"
	s := startRedis(t, "--requirepass", secret)
	b := openBroker(t, redislog.Options{URL: "redis://:p%40ss%2Fword%3A%25@" + s.addr()})
	if err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{{Data: []byte("1")}}}); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		s.url():                                     "wants a password",
		"redis://:wrong-s3cret@" + s.addr():         "refuses the user or the password",
		"redis://me:wrong-s3cret@" + s.addr():       "refuses the user or the password",
		"redis://:wrong-s3cret@" + s.addr() + "/70": "refuses the user or the password",
	} {
		_, err := redislog.Open(t.Context(), redislog.Options{URL: url})
		wantLine(t, url, err, want)
		if errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("%s: %v: it is said that trying again may help", url, err)
		}
	}
}

// wantLine checks an error for the user: one line, with a text, without the
// password.
func wantLine(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	text := err.Error()
	if !strings.Contains(text, want) {
		t.Errorf("%s: %s; want it to say %q", what, text, want)
	}
	if strings.Contains(text, "s3cret") || strings.Contains(text, "\n") {
		t.Errorf("%s: the error shows the password or has several lines: %s", what, text)
	}
}

func TestBadURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                                  "it is empty",
		"localhost:6379":                    "scheme is neither",
		"http://:s3cret@localhost":          "scheme is neither",
		"127.0.0.1:6379":                    "it is no URL",
		"redis://":                          "no host",
		"redis:localhost":                   "no host",
		"redis://:s3cret@localhost:notport": "it is no URL",
		"redis://:s3cret@localhost:70000":   "port is not between",
		"redis://:s3cret@localhost/one":     "database is not a number",
		"redis://:s3cret%zz@localhost":      "it is no URL",
		"redis://s3cret@localhost":          "redis://:password@host",
		"redis://localhost?s3cret=1":        "query",
		"unix://":                           "no socket",
	} {
		_, err := redislog.Open(t.Context(), redislog.Options{URL: url})
		wantLine(t, url, err, want)
		wantLine(t, url, err, "want redis://")
	}
}

func TestUnreachableAtOpen(t *testing.T) {
	t.Parallel()
	stuck := newProxy(t, "127.0.0.1:1")
	stuck.set(linkStuck)
	for url, want := range map[string]string{
		fmt.Sprintf("redis://:s3cret@127.0.0.1:%d", freePort(t)): "connection refused",
		strings.Replace(stuck.url(), "//", "//:s3cret@", 1):      "no answer within 1s",
		"redis://:s3cret@no-such-host.invalid":                   "no-such-host.invalid",
		"unix:///no/such/socket":                                 "no such file",
	} {
		began := time.Now()
		_, err := redislog.Open(t.Context(), redislog.Options{URL: url, Timeout: short})
		wantLine(t, url, err, want)
		if !errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("%s: %v, want it to wrap ErrUnavailable", url, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %s", url, took)
		}
	}
}

// certificate makes a self-signed one for 127.0.0.1.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis for a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(
		os.WriteFile(certFile, cert, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return certFile, keyFile, pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := certificate(t)
	port := freePort(t)
	s := startRedis(t, "--requirepass", "s3cret",
		"--tls-port", fmt.Sprint(port), "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	url := fmt.Sprintf("rediss://:s3cret@127.0.0.1:%d", port)
	n := newNode(t, redislog.Options{URL: url, TLS: &tls.Config{RootCAs: pool}})
	c := n.connect(stream.ID{})
	n.mustPublish(0, 10)
	c.awaitNumber(9)
	c.wants(upTo(0, 10), 0)

	_, err := redislog.Open(t.Context(), redislog.Options{URL: url})
	wantLine(t, "an unknown authority", err, "unknown authority")
	_, err = redislog.Open(t.Context(), redislog.Options{URL: "rediss://:s3cret@" + s.addr(), TLS: &tls.Config{RootCAs: pool}, Timeout: short})
	wantLine(t, "a port without TLS", err, "rediss:// is for a port with TLS")
	_, err = redislog.Open(t.Context(), redislog.Options{URL: fmt.Sprintf("redis://:s3cret@127.0.0.1:%d", port), Timeout: short})
	wantLine(t, "a port with TLS", err, "a port with TLS wants rediss://")
}

func TestPing(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	b := openBroker(t, redislog.Options{URL: s.url()})
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	s.kill()
	if err := b.Ping(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Ping without a server: %v", err)
	}
	s.start()
	await(t, "Ping works again", func() bool { return b.Ping(t.Context()) == nil })
}

func TestCluster(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	one := openBroker(t, redislog.Options{URL: s.url(), Node: "one"})
	two := openBroker(t, redislog.Options{URL: s.url(), Node: "two"})
	cluster := func() []redislog.NodeReport {
		reports, err := one.Cluster(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return reports
	}
	if got := cluster(); len(got) != 0 {
		t.Fatalf("before any report: %+v", got)
	}
	report := redislog.NodeReport{Node: "three", Addr: "10.0.0.3:8080", Connections: 7, Started: time.Now().UTC().Truncate(time.Second), Version: "1.2"}
	if err := two.Report(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		connections := 0
		two.RunReports(ctx, 20*time.Millisecond, func() redislog.NodeReport {
			connections++
			return redislog.NodeReport{Connections: connections}
		})
	}()
	await(t, "the second report of node two", func() bool {
		got := cluster()
		return len(got) == 2 && got[0] == report && got[1].Node == "two" && got[1].Connections > 1
	})
	// A node that leaves is gone at once; one that died, when its time is up.
	cancel()
	<-done
	if got := cluster(); len(got) != 1 || got[0].Node != "three" {
		t.Errorf("after node two has left: %+v", got)
	}
	// As the report of a node that was killed.
	s.do("HSET", "weir:cluster", "three/x", `1000 {"node":"three"}`)
	if got := cluster(); len(got) != 1 || got[0] != report {
		t.Errorf("after another report of node three ran out: %+v", got)
	}
	if err := one.Report(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	if n := s.do("HLEN", "weir:cluster"); n != int64(2) {
		t.Errorf("%v reports are kept, want those of the two brokers", n)
	}
	s.kill()
	if _, err := one.Cluster(t.Context()); !errors.Is(err, stream.ErrUnavailable) {
		t.Errorf("Cluster without a server: %v", err)
	}
}
