package stream

import "weir/stream/eventlog"

// The words of package eventlog that everybody needs who imports this one.
type (
	// An ID names an event within its topic.
	ID = eventlog.ID
	// An Event is what a source publishes and a client receives.
	Event = eventlog.Event
	// An Origin says where and when an event was published.
	Origin = eventlog.Origin
)

// Content types of [Event.Data].
const (
	JSON = eventlog.JSON
	Text = eventlog.Text
)

// DefaultType is the CloudEvents type of an event that states none.
const DefaultType = eventlog.DefaultType

var (
	// ErrInvalid marks, by errors.Is, an event that may not enter a log.
	ErrInvalid = eventlog.ErrInvalid
	// ErrBadID is what ParseID returns, wrapped, for text that is no ID.
	ErrBadID = eventlog.ErrBadID
)

// ParseID reads the form that [ID.String] writes.
func ParseID(s string) (ID, error) { return eventlog.ParseID(s) }

// IDAt returns the first ID of the millisecond that t falls in.
var IDAt = eventlog.IDAt

// ParseCloudEvent reads one CloudEvents 1.0 JSON object (structured mode).
func ParseCloudEvent(b []byte) (Event, error) { return eventlog.ParseCloudEvent(b) }
