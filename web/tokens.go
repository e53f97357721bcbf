package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"weir/stream"
)

// Tokens says who may publish and who may subscribe. The zero value lets
// everybody subscribe and nobody publish. Methods may be called by any
// goroutine.
type Tokens struct {
	rules  atomic.Pointer[[]rule]
	secret [32]byte // signs tickets; a ticket does not outlive the process
}

// A rule is what one token allows.
type rule struct {
	action string   // "publish" or "subscribe"
	hash   [32]byte // of the token, so that comparing takes the same time for every length
	topics []string // nil: all
}

// TicketLife is how long a ticket may be used to connect.
const TicketLife = time.Minute

// NewTokens returns the rules for a token to publish and one to subscribe,
// each for all topics and each optional, and those of a file, see
// [Tokens.Load].
func NewTokens(publish, subscribe, file string) (*Tokens, error) {
	t := &Tokens{}
	_, _ = rand.Read(t.secret[:]) // never fails
	return t, t.Load(publish, subscribe, file)
}

// Load replaces the rules. Each line of the file is "publish TOKEN [TOPIC,…]"
// or "subscribe TOKEN [TOPIC,…]"; a word that begins with "#" begins a comment.
// When the file is faulty, the error says in which line, and the rules stay as
// they were. So they do when the last rule to subscribe would go: taking a
// token back must not open the streams to everybody.
func (t *Tokens) Load(publish, subscribe, file string) error {
	var rules []rule
	for _, one := range []struct{ action, token string }{{"publish", publish}, {"subscribe", subscribe}} {
		if one.token != "" {
			rules = append(rules, rule{action: one.action, hash: sha256.Sum256([]byte(one.token))})
		}
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("token file: %w", err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			// A "#" within a word is part of the token: cutting there would
			// make a shorter one valid.
			if i := slices.IndexFunc(fields, func(f string) bool { return f[0] == '#' }); i >= 0 {
				fields = fields[:i]
			}
			if len(fields) == 0 {
				continue
			}
			if len(fields) < 2 || len(fields) > 3 || fields[0] != "publish" && fields[0] != "subscribe" {
				return fmt.Errorf("token file %s, line %d: want \"publish TOKEN [TOPIC,…]\" or \"subscribe TOKEN [TOPIC,…]\"", file, i+1)
			}
			r := rule{action: fields[0], hash: sha256.Sum256([]byte(fields[1]))}
			if len(fields) == 3 {
				r.topics = strings.Split(fields[2], ",")
				for _, topic := range r.topics {
					if !stream.ValidTopic(topic) {
						return fmt.Errorf("token file %s, line %d: bad topic %.80q: 1 to 64 letters, digits, dots, dashes and underscores", file, i+1, topic)
					}
				}
			}
			rules = append(rules, r)
		}
	}
	if t.needed("subscribe") && !slices.ContainsFunc(rules, func(r rule) bool { return r.action == "subscribe" }) {
		return errors.New("no token to subscribe is left, which would let everybody read: give another, or restart to mean that")
	}
	t.rules.Store(&rules)
	return nil
}

func (t *Tokens) list() []rule {
	if t == nil {
		return nil
	}
	if rules := t.rules.Load(); rules != nil {
		return *rules
	}
	return nil
}

// needed reports whether the action needs a token at all.
func (t *Tokens) needed(action string) bool {
	return slices.ContainsFunc(t.list(), func(r rule) bool { return r.action == action })
}

// allows compares with every token, so that the time tells nothing.
func (t *Tokens) allows(action, token, topic string) (known, allowed bool) {
	hash := sha256.Sum256([]byte(token))
	for _, r := range t.list() {
		if subtle.ConstantTimeCompare(hash[:], r.hash[:]) == 1 && r.action == action {
			known = true
			allowed = allowed || r.topics == nil || slices.Contains(r.topics, topic)
		}
	}
	return known, allowed
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func (t *Tokens) check(action, token, topic string) *stream.Refusal {
	if token == "" {
		return problem(http.StatusUnauthorized, "token", "This needs the header Authorization: Bearer TOKEN.")
	}
	known, allowed := t.allows(action, token, topic)
	switch {
	case !known:
		return problem(http.StatusUnauthorized, "token", "The token is not valid.")
	case !allowed:
		return problem(http.StatusForbidden, "topic_token", fmt.Sprintf("The token is not valid for topic %.80q.", topic))
	}
	return nil
}

// maySubscribe takes the header, or, since EventSource cannot send one, a
// ticket in the query.
func (s *Server) maySubscribe(r *http.Request) *stream.Refusal {
	t := s.opts.Tokens
	if !t.needed("subscribe") {
		return nil
	}
	topic := s.topicOf(r)
	if ticket := r.URL.Query().Get("ticket"); ticket != "" {
		if err := t.checkTicket(ticket, topic, time.Now()); err != nil {
			return problem(http.StatusUnauthorized, "ticket", "The ticket is refused: "+err.Error()+". Get a new one by POST /ticket.")
		}
		return nil
	}
	return t.check("subscribe", bearer(r), topic)
}

// A ticket is base64url(expiry in Unix seconds, 8 bytes big endian; HMAC-SHA256
// of the expiry and the topic).
func (t *Tokens) ticket(topic string, expires time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, t.sign(b, topic)...))
}

func (t *Tokens) sign(expiry []byte, topic string) []byte {
	mac := hmac.New(sha256.New, t.secret[:])
	mac.Write(expiry)
	mac.Write([]byte(topic))
	return mac.Sum(nil)
}

func (t *Tokens) checkTicket(ticket, topic string, now time.Time) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	// The decoder passes over line ends; a ticket has one form only.
	if err != nil || len(b) != 8+sha256.Size || len(ticket) != base64.RawURLEncoding.EncodedLen(len(b)) || !hmac.Equal(b[8:], t.sign(b[:8], topic)) {
		return errors.New("it is not valid for this topic and server")
	}
	if now.Unix() > int64(binary.BigEndian.Uint64(b)) {
		return errors.New("it has expired")
	}
	return nil
}

// mint is POST /ticket: a short-lived credential for a client that cannot send
// the header.
func (s *Server) mint(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		writeProblem(w, r, problem(http.StatusMethodNotAllowed, "method", "A ticket is made with POST."))
		return
	}
	if !s.opts.Tokens.needed("subscribe") {
		writeProblem(w, r, problem(http.StatusNotFound, "ticket_off", "No ticket is needed: everybody may subscribe."))
		return
	}
	// Before the token is looked at: the rate bounds guessing too.
	if wait := s.ticketRate.take(clientKey(s.opts.TrustedProxies.Client(r))); wait > 0 {
		writeProblem(w, r, problemLater(http.StatusTooManyRequests, "connect_rate",
			"Too many tickets were asked for from your address within a short time. Wait a moment.", wait))
		return
	}
	topic := s.topicOf(r)
	if refusal := s.opts.Tokens.check("subscribe", bearer(r), topic); refusal != nil {
		writeProblem(w, r, refusal)
		return
	}
	expires := time.Now().Add(TicketLife)
	writeJSON(w, http.StatusOK, map[string]any{
		"ticket": s.opts.Tokens.ticket(topic, expires), "topic": topic, "expires": expires.UTC().Format(time.RFC3339),
	})
}
