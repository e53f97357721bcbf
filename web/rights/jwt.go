package rights

import (
	"strings"
	"time"
	"unicode"
)

const (
	// maxJWT bounds a token before anything is made of it.
	maxJWT = 8 << 10
	// skew is how far the signer's clock may be ahead of ours.
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

// identity makes a name for operators of a token's subject. It never looks like
// "token N", the names of file tokens.
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
