package stream

import (
	"errors"

	"weir/stream/eventlog"
)

// The types of package eventlog that this package speaks of.
type (
	// An ID names an event within its topic.
	ID = eventlog.ID
	// An Event is what a source publishes and a client receives.
	Event = eventlog.Event
	// A Reader reads a topic within the program: see [Hub.Reader]. It has no
	// method that writes.
	Reader = eventlog.View
)

// Content types of [Event.Data].
const (
	JSON = eventlog.JSON
	Text = eventlog.Text
)

// Errors, by errors.Is.
var (
	// ErrInvalid marks an event that may not enter a log.
	ErrInvalid = eventlog.ErrInvalid
	// ErrClosed marks a topic that takes no more events: it has ended, or its hub is
	// closed.
	ErrClosed = eventlog.ErrClosed
	// ErrTooLarge marks a publication that the topic's history cannot hold.
	ErrTooLarge = eventlog.ErrTooLarge
	// ErrDuplicate is told to [Hooks] of an event that the topic holds already, and that
	// is not put in again: see [Publication.Duplicate]. To who publishes it is no error.
	ErrDuplicate = errors.New("the topic holds this event already")
	// ErrNoTopic marks a topic that does not exist.
	ErrNoTopic = errors.New("no such topic")
	// ErrExists marks a topic that exists already.
	ErrExists = errors.New("the topic exists already")
	// ErrTooMany marks a topic on demand beyond [TopicOptions.Max].
	ErrTooMany = errors.New("there are as many topics of this kind as there may be")
)

// ParseID reads the form that [ID.String] writes.
func ParseID(s string) (ID, error) { return eventlog.ParseID(s) }
