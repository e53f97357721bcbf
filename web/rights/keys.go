package rights

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	jose "github.com/go-jose/go-jose/v4"
)

const (
	// maxKeyFile bounds a file of keys, and what is read from a URL.
	maxKeyFile = 1 << 20
	// maxKeys bounds the keys of a set.
	maxKeys = 100
)

// A keySet verifies JSON Web Tokens. It is immutable.
type keySet struct{ keys []jose.JSONWebKey }

// algorithms are those that a key may verify. What a token says of its
// algorithm only chooses among those of the key: a token cannot have a public
// key taken for a shared secret.
func algorithms(key any) []jose.SignatureAlgorithm {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	case []byte:
		return []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
	}
	return nil
}

// allAlgorithms are allowed in the header of a token; the key's own list
// decides.
var allAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512,
}

// parseKeys reads a JSON Web Key Set, one key of that form, or PEM. Shared says
// that keys of shared secrets are accepted: in a file, which nobody else reads.
func parseKeys(text []byte, shared bool) (*keySet, error) {
	var set keySet
	var err error
	if json.Valid(text) {
		set.keys, err = parseJWKS(text, shared)
	} else {
		set.keys, err = parsePEM(text)
	}
	switch {
	case err != nil:
		return nil, err
	case len(set.keys) == 0:
		return nil, errors.New("no key in it can verify a token: want a JSON Web Key Set, or public keys or certificates in PEM")
	case len(set.keys) > maxKeys:
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	return &set, nil
}

// parseJWKS passes over keys that it does not know, as RFC 7517 has it.
func parseJWKS(text []byte, shared bool) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
		Kty  string            `json:"kty"` // of a key that stands alone
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	if set.Kty != "" {
		set.Keys = []json.RawMessage{text}
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) != nil || key.Use != "" && key.Use != "sig" {
			continue
		}
		if secret, is := key.Key.([]byte); is {
			if !shared {
				continue
			}
			if len(secret) < 32 {
				return nil, fmt.Errorf("the shared secret %.40q has less than 32 bytes", key.KeyID)
			}
		} else {
			key = key.Public()
		}
		if err := usable(key.Key); err != nil {
			continue
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parsePEM(text []byte) ([]jose.JSONWebKey, error) {
	var keys []jose.JSONWebKey
	for number := 1; ; number++ {
		block, rest := pem.Decode(text)
		if block == nil {
			return keys, nil
		}
		text = rest
		var key any
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var cert *x509.Certificate
			if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
				key = cert.PublicKey
			}
		default:
			err = fmt.Errorf("%q is not wanted here: give the public key", block.Type)
		}
		if err == nil {
			err = usable(key)
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", number, err)
		}
		keys = append(keys, jose.JSONWebKey{Key: key})
	}
}

func usable(key any) error {
	if k, is := key.(*rsa.PublicKey); is && k.N.BitLen() < 2048 {
		return errors.New("an RSA key has at least 2048 bits")
	}
	if algorithms(key) == nil {
		return errors.New("a key of this kind is not supported")
	}
	return nil
}

// candidates returns the keys that may have signed a token with this header. A
// key ID is compared, and otherwise means nothing. The key of a PEM has none.
func (s *keySet) candidates(header jose.Header) []jose.JSONWebKey {
	var keys []jose.JSONWebKey
	for _, key := range s.keys {
		if key.KeyID != "" && header.KeyID != "" && key.KeyID != header.KeyID {
			continue
		}
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		for _, alg := range algorithms(key.Key) {
			if string(alg) == header.Algorithm {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
