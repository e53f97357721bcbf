package rights_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/web/rights"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The set of keys may be PEM; and a public key of a URL's is no shared secret.
func TestKindsOfKeyFiles(t *testing.T) {
	f := readForeign(t)
	pem := newRights(t, rights.Options{Keys: write(t, f.PEM)})
	for _, name := range []string{"RS256", "no kid"} {
		if _, denial := pem.Holder(request(f.Valid[name]), rights.Subscribe, "user.42"); denial != nil {
			t.Errorf("PEM, %s: %v", name, denial)
		}
	}
	for _, name := range []string{"ES256", "PS256", "HS256 by the shared secret"} {
		if _, denial := pem.Holder(request(f.Valid[name]), rights.Subscribe, "user.42"); denial == nil {
			t.Errorf("PEM of another key, %s is accepted", name)
		}
	}
	for name, token := range f.Invalid {
		if strings.Contains(name, "audience") || name == "the algorithm of another key" {
			continue // none is asked for here, and a key in PEM states no algorithm
		}
		if _, denial := pem.Holder(request(token), rights.Subscribe, "user.42"); denial == nil {
			t.Errorf("PEM, %s is accepted", name)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "prose": "no keys here\n", "a private key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"no keys": `{"keys":[]}`, "keys of no use": `{"keys":[{"kty":"XYZ"}]}`, "a list": "[]", "a broken key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"a short secret": `{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}`,
	} {
		if _, err := rights.New(rights.Options{Keys: write(t, text)}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, place := range []string{"http://keys.example.org/jwks", "http://10.0.0.1/jwks", "/no/such/file"} {
		if _, err := rights.New(rights.Options{Keys: place}); err == nil {
			t.Errorf("%s is accepted", place)
		}
	}
}

// An issuer has keys that it can change, at a URL.
type issuer struct {
	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey
	fetches int
	fault   int // status instead of the keys
}

func (i *issuer) rotate(kids ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := i.keys
	i.keys = make(map[string]*ecdsa.PrivateKey)
	for _, kid := range kids {
		if i.keys[kid] = old[kid]; i.keys[kid] == nil {
			i.keys[kid], _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
	}
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	if i.fault != 0 {
		w.WriteHeader(i.fault)
		return
	}
	var set jose.JSONWebKeySet
	for kid, key := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &key.PublicKey, KeyID: kid, Algorithm: "ES256"})
	}
	_ = json.NewEncoder(w).Encode(set)
}

func (i *issuer) sign(t testing.TB, kid string, claims map[string]any) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	key := i.keys[kid]
	if key == nil {
		key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"sub": "bob", "exp": time.Now().Add(time.Hour).Unix(), "weir": map[string]any{"subscribe": []string{"user.42"}}}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// status is what a token gets: 200, or why not.
func status(r *rights.Rights, token string) int {
	if _, denial := r.Holder(request(token), rights.Subscribe, "user.42"); denial != nil {
		return denial.Status
	}
	return 200
}

func TestKeysByURL(t *testing.T) {
	i := &issuer{}
	i.rotate("one")
	server := httptest.NewServer(i)
	defer server.Close()
	r := newRights(t, rights.Options{Keys: server.URL})
	one := i.sign(t, "one", nil)
	for range 100 {
		if got := status(r, one); got != 200 {
			t.Fatalf("a good token: %d", got)
		}
	}
	if i.count() != 1 {
		t.Errorf("the keys were fetched %d times", i.count())
	}
	// A key that nobody knows: it is asked for once, however many come.
	i.rotate("one", "two")
	for range 100 {
		status(r, i.sign(t, "made up", nil))
	}
	if n := i.count(); n > 2 {
		t.Errorf("made-up key IDs had the keys fetched %d times", n)
	}
	// Too early to look again: not known is not the same as not valid.
	if got := status(r, i.sign(t, "two", nil)); got != 503 && got != 200 {
		t.Errorf("a new key right after: %d", got)
	}
	if err := r.Reload(); err != nil { // SIGHUP looks at once
		t.Fatal(err)
	}
	if got := status(r, i.sign(t, "two", nil)); got != 200 {
		t.Errorf("a new key after a reload: %d", got)
	}
	if got := status(r, i.sign(t, "made up", nil)); got != 503 {
		t.Errorf("a key that cannot be looked for now: %d", got)
	}
	// A key that vanishes.
	i.rotate("two")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := status(r, one); got == 200 {
		t.Error("a key that was withdrawn still counts")
	}
	// While the issuer is away, or answers nonsense, its keys stay.
	i.mu.Lock()
	i.fault = 500
	i.mu.Unlock()
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := status(r, i.sign(t, "two", nil)); got != 200 {
		t.Errorf("the issuer is away: %d", got)
	}
}

// An issuer that is away at the start is asked again, and until then nobody is
// told that a token is bad.
func TestKeysThatComeLater(t *testing.T) {
	i := &issuer{fault: 503}
	i.rotate("one")
	server := httptest.NewServer(i)
	defer server.Close()
	r := newRights(t, rights.Options{Keys: server.URL})
	token := i.sign(t, "one", nil)
	if got := status(r, token); got != 503 {
		t.Errorf("without keys: %d", got)
	}
	i.mu.Lock()
	i.fault = 0
	i.mu.Unlock()
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := status(r, token); got != 200 {
		t.Errorf("with keys: %d", got)
	}
}
