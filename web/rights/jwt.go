package rights

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// maxJWT bounds a token before anything is made of it.
	maxJWT = 8 << 10
	// skew is how far the clock of who signs may be ahead of ours.
	skew = 30 * time.Second
)

// claims are what a token says of Weir. The claim is
//
//	"weir": {"subscribe": ["user.42", "orders/eu.*"], "publish": ["run.*"]}
type claims struct {
	Weir struct {
		Subscribe []string `json:"subscribe"`
		Publish   []string `json:"publish"`
	} `json:"weir"`
}

// looksLikeJWT reports whether a word has the form of a JSON Web Token.
func looksLikeJWT(word string) bool { return strings.Count(word, ".") == 2 }

// verify returns the holder of a JSON Web Token. The token must be signed by one
// of the keys, must expire and not have expired, and must be for the audience,
// if there is one. Nothing in it is followed or fetched.
func (k *keySource) verify(ctx context.Context, text, audience string) (*Holder, *Denial) {
	if len(text) > maxJWT {
		return nil, unauthorized("token", fmt.Sprintf("The token is longer than %d bytes.", maxJWT))
	}
	token, err := jwt.ParseSigned(text, allAlgorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, unauthorized("token", "The token is not valid: it is no signed JSON Web Token, or by an algorithm that is not accepted.")
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
		return nil, unauthorized("token", "The token is not valid: its signature or its claims are wrong.")
	}
	now := time.Now()
	switch {
	case standard.Expiry == nil:
		return nil, unauthorized("token", "The token is not valid: it never expires, which is not accepted (claim exp).")
	case !now.Before(standard.Expiry.Time()):
		return nil, unauthorized("token_expired", "The token has expired.")
	case standard.NotBefore != nil && now.Add(skew).Before(standard.NotBefore.Time()):
		return nil, unauthorized("token", "The token is not valid yet.")
	case audience != "" && !standard.Audience.Contains(audience):
		return nil, unauthorized("token", "The token is not valid: it is for another audience.")
	}
	h := &Holder{Identity: identity(standard.Subject), Expires: standard.Expiry.Time(), grants: make(map[Action]grants)}
	for action, texts := range map[Action][]string{Subscribe: own.Weir.Subscribe, Publish: own.Weir.Publish} {
		for _, text := range texts {
			grant, err := ParseGrant(text)
			if err != nil {
				return nil, unauthorized("token", "The token is not valid: its claim weir has a "+err.Error()+".")
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
	unknown := unauthorized("token", "The token is not valid: no key that is known can have signed it.")
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
	return nil, &Denial{Status: http.StatusServiceUnavailable, Reason: "keys", RetryAfter: max(wait, time.Second),
		Detail: "The key of this token is not known, and could not be asked for just now. Try again in a moment."}
}

// identity makes a name for operators of a token's subject. It is no name that a
// token of the token file has.
func identity(subject string) string {
	subject = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(subject, ""))
	if len(subject) > 128 {
		subject = strings.ToValidUTF8(subject[:128], "")
	}
	if subject == "" {
		return "jwt"
	}
	if strings.Contains(subject, "token") {
		return "jwt " + subject
	}
	return subject
}
