package rights

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// DefaultTicketLife is how long a ticket may be used to connect.
const DefaultTicketLife = time.Hour

// A ticket is base64url of: the ID of the token that it was made from, 8 bytes;
// its expiry in Unix seconds, 8 bytes, big endian; HMAC-SHA256 of both and the
// topic, by a key that is derived from the token. Every process that has the
// token can check it, and none when the token is gone.
const ticketBytes = 8 + 8 + sha256.Size

func (t *token) newTicket(topic string, expires time.Time) string {
	b := binary.BigEndian.AppendUint64(t.ticket[:], uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, t.sign(b, topic)...))
}

func (t *token) sign(head []byte, topic string) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write(head)
	mac.Write([]byte(topic))
	return mac.Sum(nil)
}

var (
	errBadTicket     = errors.New("it is not valid for this topic and server")
	errTicketExpired = errors.New("it has expired")
)

// checkTicket returns the token that the ticket was made from.
func (t *tokens) checkTicket(ticket, topic string, now time.Time) (*token, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	// The decoder passes over line ends; a ticket has one form only.
	if err != nil || len(b) != ticketBytes || len(ticket) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return nil, errBadTicket
	}
	one := t.ticket[[8]byte(b)]
	if one == nil || !hmac.Equal(b[16:], one.sign(b[:16], topic)) {
		return nil, errBadTicket
	}
	if now.Unix() > int64(binary.BigEndian.Uint64(b[8:])) {
		return nil, errTicketExpired
	}
	return one, nil
}
