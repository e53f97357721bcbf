package stream

// firsts finds the events of a log that are published again: it knows the ID
// under which the log holds each event that its publisher gave an ID of its
// own. The zero value is ready. It is not safe for use by several goroutines
// at once.
type firsts struct {
	ids map[origin]ID
}

// An origin is what makes a CloudEvent one and the same.
type origin struct{ source, id string }

// put appends to the log those events of a publication that it does not hold
// yet, which it returns, sets the IDs and the duplicates of the publication,
// and closes the log where the publication says so.
func (f *firsts) put(log *Log, p *Publication) (fresh []*Event, err error) {
	if log.Ended() != "" {
		return nil, ErrClosed
	}
	p.Duplicate = nil
	fresh = p.Events
	var again map[int]*Event // the first one, by index
	var within map[origin]*Event
	floor := log.Stats().Floor
	for i, e := range p.Events {
		if e.ForeignID == "" {
			if again != nil {
				fresh = append(fresh, e)
			}
			continue
		}
		key := origin{e.Source, e.ForeignID}
		first := within[key]
		if id, held := f.ids[key]; held && id.After(floor) {
			first = &Event{ID: id}
		}
		switch {
		case first != nil:
			if again == nil {
				again = make(map[int]*Event)
				fresh = append([]*Event(nil), p.Events[:i]...)
				p.Duplicate = make([]bool, len(p.Events))
			}
			again[i] = first
			p.Duplicate[i] = true
			continue
		case within == nil:
			within = make(map[origin]*Event)
		}
		within[key] = e
		if again != nil {
			fresh = append(fresh, e)
		}
	}
	if len(fresh) > 0 {
		if err := log.Append(fresh...); err != nil {
			return nil, err
		}
	}
	for i, first := range again {
		p.Events[i].ID = first.ID
	}
	f.keep(log, within)
	if p.End != "" {
		log.Close(p.End)
	}
	return fresh, nil
}

// keep remembers new events, and from time to time forgets those that the log
// no longer holds.
func (f *firsts) keep(log *Log, events map[origin]*Event) {
	if len(events) == 0 {
		return
	}
	if f.ids == nil {
		f.ids = make(map[origin]ID)
	}
	for key, e := range events {
		f.ids[key] = e.ID
	}
	stats := log.Stats()
	if len(f.ids) > 2*stats.Entries+16 {
		for key, id := range f.ids {
			if !id.After(stats.Floor) {
				delete(f.ids, key)
			}
		}
	}
}
