package rights_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"weir/web/rights"
)

// An application with a login of its own signs what its user may read and sets
// that as a cookie. Its page then needs no more than
//
//	new EventSource('/t/user.42')
//
// and Weir no more than the public key: -jwt-keys keys.pem -topics 'user.*'.
func Example() {
	// The application's part. Any library of JSON Web Tokens does the same.
	public, private, _ := ed25519.GenerateKey(nil)
	login := func(w http.ResponseWriter, user string, id int) {
		claims, _ := json.Marshal(map[string]any{
			"sub": user, "exp": time.Now().Add(time.Hour).Unix(),
			"weir": map[string]any{"subscribe": []string{fmt.Sprintf("user.%d", id)}},
		})
		b64 := base64.RawURLEncoding.EncodeToString
		text := b64([]byte(`{"alg":"EdDSA"}`)) + "." + b64(claims)
		http.SetCookie(w, &http.Cookie{
			Name: rights.Cookie, Value: text + "." + b64(ed25519.Sign(private, []byte(text))),
			Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
		})
	}

	// Weir's part.
	dir, _ := os.MkdirTemp("", "rights")
	defer os.RemoveAll(dir)
	keys := filepath.Join(dir, "keys.pem")
	der, _ := x509.MarshalPKIXPublicKey(public)
	_ = os.WriteFile(keys, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
	access, err := rights.New(rights.Options{Keys: keys})
	if err != nil {
		fmt.Println(err)
		return
	}

	answer := httptest.NewRecorder()
	login(answer, "alice", 42)
	request := httptest.NewRequest("GET", "/t/user.42", nil)
	request.AddCookie(answer.Result().Cookies()[0])
	for _, topic := range []string{"user.42", "user.43"} {
		who, denial := access.Holder(request, rights.Subscribe, topic)
		if denial != nil {
			fmt.Println(topic, denial.Status, denial)
			continue
		}
		fmt.Println(topic, who.Identity, who.Grants(rights.Subscribe))
	}
	// Output:
	// user.42 alice [user.42]
	// user.43 403 The token is not valid for topic "user.43".
}
