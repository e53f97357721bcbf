package rights

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
)

// maxTokenFile bounds the token file.
const maxTokenFile = 4 << 20

// A token is one secret word and what it allows.
type token struct {
	name   string // told to operators
	hash   [sha256.Size]byte
	key    []byte // signs the token's tickets
	ticket [8]byte
	grants map[Action]grants
}

// tokens is what the flags and the token file say: immutable.
type tokens struct {
	list   []*token
	ticket map[[8]byte]*token // by the ID that the token's tickets carry
}

func (t *tokens) add(word, name string, action Action, allowed grants) {
	hash := sha256.Sum256([]byte(word))
	for _, known := range t.list {
		if known.hash == hash {
			known.grants[action] = append(known.grants[action], allowed...)
			return
		}
	}
	one := &token{name: name, hash: hash, grants: map[Action]grants{action: slices.Clone(allowed)}}
	// What is derived from the token is the same on every node that has the
	// token, and after a restart.
	one.key = derive([]byte(word), "weir ticket key")
	copy(one.ticket[:], derive([]byte(word), "weir ticket id"))
	t.list = append(t.list, one)
	t.ticket[one.ticket] = one
}

func derive(secret []byte, label string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(label))
	return mac.Sum(nil)
}

// holder is whoever shows the token.
func (t *token) holder() *Holder { return &Holder{Identity: t.name, grants: t.grants} }

// needed reports whether some token allows the action.
func (t *tokens) needed(action Action) bool {
	return slices.ContainsFunc(t.list, func(one *token) bool { return one.grants[action] != nil })
}

// find compares with every token, so that the time tells nothing.
func (t *tokens) find(word string) *token {
	hash := sha256.Sum256([]byte(word))
	var found *token
	for _, one := range t.list {
		if subtle.ConstantTimeCompare(hash[:], one.hash[:]) == 1 {
			found = one
		}
	}
	return found
}

// readTokens reads the flags and the file. Name gives a token its name.
func readTokens(publish, subscribe, file string, name func(hash [sha256.Size]byte) string) (*tokens, error) {
	t := &tokens{ticket: make(map[[8]byte]*token)}
	everything := grants{{Any, Any}}
	if publish != "" {
		t.add(publish, "publish token", Publish, everything)
	}
	if subscribe != "" {
		t.add(subscribe, "subscribe token", Subscribe, everything)
	}
	if file == "" {
		return t, nil
	}
	text, err := ReadFile(file, maxTokenFile)
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	err = parseTokens(string(text), func(action Action, word string, allowed grants) {
		t.add(word, name(sha256.Sum256([]byte(word))), action, allowed)
	})
	if err != nil {
		return nil, fmt.Errorf("token file %s, %w", file, err)
	}
	return t, nil
}

// parseTokens reads the lines of a token file, each "publish TOKEN [GRANT,…]"
// or "subscribe TOKEN [GRANT,…]". A word that begins with "#" begins a comment.
// A last line without its end is an error: the file may have been cut off in
// the middle of a token, and what is left must not become a token.
func parseTokens(text string, add func(action Action, word string, allowed grants)) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if !strings.HasSuffix(line, "\n") {
			return fmt.Errorf("line %d: the last line has no line end: if the file is whole, add one", number)
		}
		fields := strings.Fields(line)
		// A "#" within a word is part of the token: cutting there would make a
		// shorter one valid.
		if i := slices.IndexFunc(fields, func(f string) bool { return f[0] == '#' }); i >= 0 {
			fields = fields[:i]
		}
		if len(fields) == 0 {
			continue
		}
		action := Action(fields[0])
		if len(fields) < 2 || len(fields) > 3 || action != Publish && action != Subscribe {
			return fmt.Errorf("line %d: want \"publish TOKEN [TOPIC,…]\" or \"subscribe TOKEN [TOPIC,…]\"", number)
		}
		allowed := grants{{Any, Any}}
		if len(fields) == 3 {
			allowed = nil
			for text := range strings.SplitSeq(fields[2], ",") {
				grant, err := ParseGrant(text)
				if err != nil {
					return fmt.Errorf("line %d: %w", number, err)
				}
				allowed = append(allowed, grant)
			}
		}
		add(action, fields[1], allowed)
	}
	return nil
}
