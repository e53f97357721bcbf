package stream

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/stream/eventlog"
)

// A Subscription is what a stream is: who reads what, from where, until when.
type Subscription struct {
	// Topic is what is read. Default: the hub's first topic.
	Topic string
	// Subjects are filters: events with one of these subjects alone are read. A
	// filter is a subject, a prefix that ends in ".*", or "*". Default: all events.
	Subjects []string
	// Format is how the events are encoded. Default: the handler's.
	Format Format
	// Resume is the last event ID that the reader has; the zero ID asks for
	// everything held. Default: nil, what comes from now on.
	Resume *ID
	// Event asks for the event with this ID alone. The answer is that event, and no
	// stream: it is not among Handler.Conns, and tells of no gap. It is a 404 where
	// the event is not held. Default: nil.
	Event *ID
	// Last is how many of the newest events a reader gets first who does not
	// resume; with subjects, how many of each subject that occurs.
	Last int
	// Identity says who reads: a name, never a secret. Telemetry exports it, and
	// operators see it; other readers do not.
	Identity string
	// Value is the program's own. Conn.Value has it again, and nobody else is
	// shown it: the session by which a log-out finds its streams, for example.
	Value any
	// Opened, if set, is called once before anything is written, when the stream
	// is among Handler.Conns already. It may close the stream: a log-out may have
	// come since Subscribe was asked.
	Opened func(*Conn)
	// Client is the client's address, where the peer's is that of a proxy.
	Client string
	// Expires is when the right to read ends. The stream is closed then, with
	// CloseExpired. Default: never.
	Expires time.Time
	// Done, if set, is called once: when the stream is over, or was not begun.
	Done func()

	malformed bool // the reader gave a last event ID that is none
}

// maxSubjects bounds the filters of one stream, as ParseSubscription reads them:
// each entry that the log holds is compared with each of them when a view is made.
const maxSubjects = 64

// maxLast bounds Subscription.Last, as ParseSubscription reads it.
const maxLast = 10_000

// ParseSubscription returns what the query and the headers of a request ask
// for: topic, subject (may be repeated), format, event, last, and the last event
// ID by the header Last-Event-ID, or where there is none by the parameter
// last_event_id (lastEventId, lastEventID: some polyfills say so). What is
// repeated or makes no sense is refused. A last event ID that is none is not:
// the stream then begins live, and says so.
func ParseSubscription(r *http.Request) (*Subscription, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badQuery(rejectQuery, "The query of the address is malformed.")
	}
	s := &Subscription{}
	if topics := query["topic"]; len(topics) > 1 {
		return nil, badQuery(rejectTopic, "One stream reads one topic. Open a stream for each, or publish to one topic under several subjects and read it with subject=.")
	} else if len(topics) == 1 {
		s.Topic = strings.Clone(topics[0]) // not a piece of the request, which would be kept with it
	}
	if n := len(query["subject"]); n > maxSubjects {
		return nil, badQuery(rejectSubject, fmt.Sprintf("A stream may name %d subjects; a prefix such as eu.* stands for many.", maxSubjects))
	}
	for _, subject := range query["subject"] {
		s.Subjects = append(s.Subjects, strings.Clone(subject))
	}
	if formats := query["format"]; len(formats) > 1 {
		return nil, badQuery(rejectFormat, "The parameter format may stand once.")
	} else if len(formats) == 1 {
		s.Format = Format(strings.Clone(formats[0]))
	}
	if last := query["last"]; len(last) > 0 {
		n, err := strconv.Atoi(last[0])
		if err != nil || n < 0 || len(last) > 1 {
			return nil, badQuery(rejectQuery, "The parameter last is one number of events, such as last=50.")
		}
		s.Last = min(n, maxLast)
	}
	s.resume(r.Header, query)
	if event := query["event"]; len(event) > 0 {
		id, err := eventlog.ParseID(event[0])
		if err != nil || len(event) > 1 {
			return nil, badQuery(rejectQuery, "The parameter event is the ID of one event, such as event=1700000000000-0.")
		}
		if s.Resume != nil || s.malformed || len(query["last"]) > 0 { // a client that comes back for more
			return nil, badQuery(rejectQuery, "The parameter event asks for one event alone: nothing comes before or behind it.")
		}
		s.Event = &id
	}
	return s, nil
}

// resume finds the last event ID: the header wins.
func (s *Subscription) resume(header http.Header, query url.Values) {
	for _, text := range []string{
		header.Get("Last-Event-ID"), query.Get("last_event_id"), query.Get("lastEventId"), query.Get("lastEventID"),
	} {
		if text == "" {
			continue
		}
		if id, err := eventlog.ParseID(text); err == nil {
			s.Resume = &id
		} else {
			s.malformed = true
		}
		return
	}
}

func badQuery(reason, detail string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Reason: reason, Detail: detail}
}

// opened is a subscription whose topic, filter and format have been found. It has no
// feed where no stream is wanted: for HEAD, and where event answers.
type opened struct {
	event  *lookedUp
	topic  *topic
	feed   *feed
	cursor *eventlog.Cursor
	format Format
}

// open finds what the subscription asks for; preset is the format where it names
// none. Who only asks whether there is something to read gets no feed. The error is
// a Refusal or one of the hub's.
func (s *Subscription) open(ctx context.Context, hub *Hub, preset Format, onlyAsks bool) (opened, error) {
	filter, err := eventlog.ParseFilter(s.Subjects)
	if err != nil {
		return opened{}, badQuery(rejectSubject, fmt.Sprintf("The filter subject= is refused: %v.", err))
	}
	format := cmp.Or(s.Format, preset, FormatData)
	formatter := formatters(hub.opts.Formats).get(format)
	if formatter == nil {
		return opened{}, badQuery(rejectFormat, fmt.Sprintf("There is no format %.80q. Formats are: %s.", format, strings.Join(formatters(hub.opts.Formats).names(), ", ")))
	}
	name := cmp.Or(s.Topic, hub.First())
	for {
		t, err := hub.demand(name)
		if err != nil {
			return opened{}, err
		}
		if !t.ready(ctx) {
			return opened{}, fmt.Errorf("open %s: %w", name, ErrUnavailable)
		}
		if s.Event != nil {
			t.touch()
			return opened{event: t.lookUp(filter, *s.Event, t.format(format, formatter))}, nil
		}
		if onlyAsks {
			t.touch()
			return opened{}, nil
		}
		f, ok := t.join(filter, t.format(format, formatter))
		if !ok { // it is being removed
			if err := t.awaitGone(ctx); err != nil {
				return opened{}, fmt.Errorf("open %s: %w: %w", name, ErrUnavailable, err)
			}
			continue
		}
		o := opened{topic: t, feed: f, format: format}
		switch view := f.View(); {
		case s.Resume != nil:
			o.cursor = view.From(*s.Resume)
		case s.Last > 0:
			o.cursor = view.Newest(s.Last)
		default:
			o.cursor = view.Live()
		}
		return o, nil
	}
}
