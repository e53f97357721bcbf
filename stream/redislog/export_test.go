package redislog

import (
	"context"
	"time"

	"weir/stream"
)

// A Page is what one look at a topic returned.
type Page struct {
	Entries, Bytes int
	Last           stream.ID
	More           bool
}

// Pages reads a topic page by page, as a follower does.
func Pages(ctx context.Context, b *Broker, topic string) (pages []Page, err error) {
	client, err := b.servers.forKey(ctx, b.key(topic))
	if err != nil {
		return nil, err
	}
	for after := (stream.ID{}); ; {
		answers, errs, err := b.look(ctx, client, []question{whole(b.key(topic), after, maxPageBytes)})
		if err == nil {
			err = errs[0]
		}
		if err != nil {
			return nil, err
		}
		p := Page{Entries: len(answers[0].entries), More: answers[0].full}
		for _, e := range answers[0].entries {
			p.Bytes += len(e.attrs) + len(e.data)
			p.Last = e.id
		}
		pages = append(pages, p)
		if after = p.Last; !p.More {
			return pages, nil
		}
	}
}

// PageBytes is about how much a page may have.
const PageBytes = maxPageBytes

// ParseEntry and the others read what Redis says, for fuzzing.
func ParseEntry(answer any) error {
	e, err := parseEntry(answer)
	if err == nil {
		_, _ = e.event()
	}
	return err
}

// ParseNotification returns the events of a notification.
func ParseNotification(text []byte) (events []*stream.Event, ends string, err error) {
	n, err := parseNotification(text)
	for i := range n.entries {
		if n.entries[i].ends {
			ends = n.entries[i].reason
		} else if e, err := n.entries[i].event(); err == nil {
			events = append(events, e)
		}
	}
	return events, ends, err
}

// ParseSnapshot reads the answer of a look.
func ParseSnapshot(answer any) error {
	_, err := parseSnapshot(answer)
	return err
}

// Scan follows Redis's protocol through bytes that come in pieces.
func Scan(pieces ...[]byte) error {
	var g guard
	for _, p := range pieces {
		if err := g.scan(p); err != nil {
			return err
		}
	}
	return nil
}

// ParseURL returns the name of what a URL leads to.
func ParseURL(text string) (string, error) {
	a, err := parseURL(text)
	if err != nil {
		return "", err
	}
	return a.String(), nil
}

// A Pulse is a pulse of which the test says how it goes.
type Pulse struct{ pulse }

func NewPulse() *Pulse {
	p := new(Pulse)
	p.init("key", DefaultTimeout)
	return p
}

func (p *Pulse) Subscribed()          { p.subscribed() }
func (p *Pulse) Heard()               { p.heard(nil) }
func (p *Pulse) Taken(sent time.Time) { _ = p.taken(sent, nil) }
func (p *Pulse) Deaf() bool           { return p.deaf() }
