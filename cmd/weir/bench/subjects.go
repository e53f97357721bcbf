package bench

import (
	"fmt"
	"strconv"
)

// Subjects: event n of a run is about subject n mod Subjects, and each stream reads
// one subject. So each event goes to the streams of its subject alone, whose tracker
// counts the events of that subject.

// subject is the name of a subject by its number.
func subject(n int64) string { return "s" + strconv.FormatInt(n, 10) }

// subjects is how many subjects the streams share among them; 1 where each reads
// every event.
func (o *Options) subjects() int64 {
	if o.Subjects == 0 || o.ReadAll {
		return 1
	}
	return int64(o.Subjects)
}

// subject returns the number of the subject that a client reads.
func (c *client) subject() int64 { return int64(c.id) % c.sh.swarm.opts.subjects() }

// place returns the place of an event, by its number in the run, among those that
// are for this client. It is false for an event about another subject.
func (c *client) place(seq int64) (int64, bool) {
	n := c.sh.swarm.opts.subjects()
	return seq / n, seq%n == c.subject()
}

// share returns how many of the first events of a run are for this client.
func (c *client) share(events int64) int64 {
	n := c.sh.swarm.opts.subjects()
	return max(0, (events-c.subject()+n-1)/n)
}

// target is what a client asks for.
func (c *client) target() string {
	uri := c.sh.swarm.opts.url.RequestURI()
	if c.sh.swarm.opts.subjects() == 1 {
		return uri
	}
	separator := "?"
	if c.sh.swarm.opts.url.RawQuery != "" {
		separator = "&"
	}
	return uri + separator + "subject=" + subject(c.subject())
}

// appendCloudEvent appends an event with a subject, as JSON.
func (p *publisher) appendCloudEvent(b []byte, sent, seq int64) []byte {
	b = fmt.Appendf(b, `{"specversion":"1.0","type":"bench","source":"/bench","id":"%d","subject":"%s","data":`,
		p.base+seq, subject(seq%int64(p.opts.Subjects)))
	return append(p.appendData(b, sent, seq), '}')
}
