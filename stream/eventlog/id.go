package eventlog

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// An ID names an event within its topic: the millisecond (Unix time) in which
// it entered the log, and a sequence number within that millisecond. It is
// written "milliseconds-sequence", the form that Redis streams use, and it
// rises strictly within a topic.
//
// The zero ID stands before every event.
type ID struct {
	Milli uint64
	Seq   uint64
}

// ErrBadID is what ParseID returns, wrapped, for text that is no ID.
var ErrBadID = errors.New("not an event ID of the form milliseconds-sequence")

// ParseID reads the form that [ID.String] writes. As in Redis, the sequence may
// be left out and is then 0.
func ParseID(s string) (ID, error) {
	milli, seq, dashed := strings.Cut(s, "-")
	var id ID
	var err error
	if id.Milli, err = parseDecimal(milli); err != nil {
		return ID{}, fmt.Errorf("%w: %.64q", ErrBadID, s)
	}
	if dashed {
		if id.Seq, err = parseDecimal(seq); err != nil {
			return ID{}, fmt.Errorf("%w: %.64q", ErrBadID, s)
		}
	}
	return id, nil
}

// parseDecimal is strconv.ParseUint without the sign and the underscores that
// it lets through.
func parseDecimal(s string) (uint64, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseUint(s, 10, 64)
}

// String returns the ID as "milliseconds-sequence".
func (id ID) String() string { return string(id.AppendTo(nil)) }

// MarshalText implements [encoding.TextMarshaler]: in JSON an ID is its text.
func (id ID) MarshalText() ([]byte, error) { return id.AppendTo(nil), nil }

// UnmarshalText implements [encoding.TextUnmarshaler], by [ParseID].
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// AppendTo appends the text of the ID to dst.
func (id ID) AppendTo(dst []byte) []byte {
	dst = strconv.AppendUint(dst, id.Milli, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.Seq, 10)
}

// Compare returns -1, 0 or +1 as id stands before, at or after other.
func (id ID) Compare(other ID) int {
	switch {
	case id == other:
		return 0
	case id.Milli < other.Milli, id.Milli == other.Milli && id.Seq < other.Seq:
		return -1
	default:
		return +1
	}
}

// After reports whether id is later in the topic than other.
func (id ID) After(other ID) bool { return id.Compare(other) > 0 }

// IsZero reports whether id is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// Time returns the millisecond in which the event entered the log.
func (id ID) Time() time.Time { return time.UnixMilli(int64(min(id.Milli, math.MaxInt64))) }

// IDAt returns the first ID of the millisecond that t falls in.
func IDAt(t time.Time) ID { return ID{Milli: uint64(max(t.UnixMilli(), 0))} }

// Next returns the ID for an event that enters at now after id: it never
// goes back, whatever the clock does.
func (id ID) Next(now time.Time) ID {
	if at := IDAt(now); at.Milli > id.Milli {
		return at
	}
	return ID{Milli: id.Milli, Seq: id.Seq + 1}
}
