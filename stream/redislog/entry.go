package redislog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/stream"
	"weir/stream/internal/record"
)

// The fields of an entry in Redis: an event has the first three, the end of a
// topic has the version and the reason.
const (
	fieldVersion    = "v"
	fieldAttributes = "a"
	fieldData       = "d"
	fieldEnd        = "e"
)

// An entry is one of a topic's stream in Redis, not looked into yet.
type entry struct {
	id      stream.ID
	version string
	attrs   []byte
	data    []byte
	ends    bool
	reason  string
	foreign []string // the names of the fields of what no Weir has written
}

// event returns the event of an entry. Each log gets one of its own.
func (e *entry) event() (*stream.Event, error) {
	if e.version != strconv.Itoa(record.Version) || e.foreign != nil {
		return nil, fmt.Errorf("%w: version %.20q with the fields %.100s", stream.ErrInvalid, e.version, strings.Join(e.foreign, ", "))
	}
	return record.Event(e.id, e.attrs, bytes.Clone(e.data))
}

// parseEntry reads an entry as Redis returns it: the ID, and the fields with
// their values.
func parseEntry(answer any) (entry, error) {
	parts, _ := answer.([]any)
	if len(parts) != 2 {
		return entry{}, errNotEntry
	}
	text, _ := parts[0].(string)
	id, err := stream.ParseID(text)
	if err != nil {
		return entry{}, fmt.Errorf("%w: %w", errNotEntry, err)
	}
	fields, ok := parts[1].([]any)
	if !ok || len(fields)%2 != 0 {
		return entry{}, errNotEntry
	}
	e := entry{id: id}
	var names []string
	for i := 0; i < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, ok := fields[i+1].(string)
		if !ok {
			return entry{}, errNotEntry
		}
		switch name {
		case fieldVersion:
			e.version = value
		case fieldAttributes:
			e.attrs = []byte(value)
		case fieldData:
			e.data = []byte(value)
		case fieldEnd:
			e.ends, e.reason = true, value
		}
		names = append(names, name)
	}
	known := []string{fieldVersion, fieldAttributes, fieldData}
	if e.ends {
		known = []string{fieldVersion, fieldEnd}
	}
	if !slices.Equal(names, known) {
		e.foreign, e.ends = names, false
		if names == nil {
			e.foreign = []string{}
		}
	}
	return e, nil
}

var errNotEntry = errors.New("the answer holds what is no entry of a stream")

// A notification tells of a publication on the channel of its topic.
type notification struct {
	before  stream.ID // the stream's last ID before the publication
	added   int64     // how many entries had been added then, ever
	entries []entry   // none when they have to be read
}

var errNotification = errors.New("a notification of another form")

// parseNotification reads what publish.lua writes: a line with the version, the
// ID and the count before the publication, and the number of entries; and each
// entry after a line with its ID and the lengths of its attributes and data.
// The entries keep the text.
func parseNotification(text []byte) (notification, error) {
	line, rest, ok := bytes.Cut(text, []byte("\n"))
	head := strings.Split(string(line), " ")
	if !ok || len(head) != 4 {
		return notification{}, errNotification
	}
	var n notification
	version := head[0]
	var err1, err2, err3 error
	n.before, err1 = stream.ParseID(head[1])
	n.added, err2 = strconv.ParseInt(head[2], 10, 64)
	count, err3 := strconv.Atoi(head[3])
	if err1 != nil || err2 != nil || err3 != nil || count < 0 || count > len(rest) {
		return notification{}, errNotification
	}
	for range count {
		line, tail, ok := bytes.Cut(rest, []byte("\n"))
		parts := strings.Split(string(line), " ")
		if !ok || len(parts) != 3 {
			return notification{}, errNotification
		}
		e := entry{version: version, ends: parts[1] == "end"}
		if e.id, err1 = stream.ParseID(parts[0]); err1 != nil {
			return notification{}, errNotification
		}
		first, err := 0, error(nil)
		if !e.ends {
			first, err = strconv.Atoi(parts[1])
		}
		second, err2 := strconv.Atoi(parts[2])
		if err != nil || err2 != nil || first < 0 || second < 0 || first > len(tail) || second > len(tail)-first {
			return notification{}, errNotification
		}
		e.attrs, e.data, rest = tail[:first:first], tail[first:first+second:first+second], tail[first+second:]
		if e.ends {
			e.attrs, e.data, e.reason = nil, nil, string(e.data)
		}
		n.entries = append(n.entries, e)
	}
	if len(rest) > 0 {
		return notification{}, errNotification
	}
	return n, nil
}
