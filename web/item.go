package web

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/source"
)

const (
	// maxText is how much of a text payload one row of the page shows. The
	// JSON representation of the event is never shortened.
	maxText = 4096
	// maxMeasures is how many numbers of one payload a row shows.
	maxMeasures = 16
	maxLabel    = 40
	maxMember   = 200
)

// An Item is one event as the page shows it.
type Item struct {
	ID          string
	Time        time.Time // when it happened
	Accepted    time.Time // when a server took it from its publisher; zero: not known
	Traceparent string    // W3C trace context; left out of the page unless well-formed
	Topic, Type string
	Name        string // by which a page listens for it; may be empty
	Subject     string // what it is about; may be empty
	Data        []byte // as ContentType says; text may be any bytes
	ContentType string // default application/json
}

// row is the event as item.html shows it.
func (it Item) row() itemRow {
	v := itemRow{ID: clean(it.ID), Topic: clean(it.Topic), Name: clean(it.Name), Type: clean(it.Type), Subject: clean(it.Subject), Time: it.Time.UTC(), Accepted: it.Accepted, Bytes: len(it.Data)}
	if traceparentForm.MatchString(it.Traceparent) {
		v.Traceparent = it.Traceparent
		v.Trace = it.Traceparent[3:11]
	}
	isJSON := (&stream.Event{ContentType: it.ContentType}).IsJSON()
	v.JSON = isJSON
	if isJSON {
		v.Measures, v.More, v.Text = readJSON(it.Data, it.Type == source.ReadingType)
	}
	if v.Measures == nil {
		v.Text = string(it.Data)
		if isJSON && strings.HasPrefix(v.Text, `"`) {
			var s string
			if json.Unmarshal(it.Data, &s) == nil {
				v.Text = s
			}
		}
	}
	v.Text, v.Cut = cutText(v.Text)
	switch {
	case v.Text == string(it.Data): // the row shows it as it came
	case isJSON && len(it.Data) <= maxText:
		v.Payload = strings.ToValidUTF8(string(it.Data), "\uFFFD") // a payload past the hub may be anything
	default:
		v.Partial = true // or the row lacks what cannot be seen, as the last line's end
	}
	return v
}

var traceparentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

type itemRow struct {
	ID, Topic, Type    string
	Name               string
	Subject            string
	JSON               bool
	Bytes              int    // of the payload
	Payload            string // where the row does not show it as it is
	Traceparent, Trace string
	Time, Accepted     time.Time
	Measures           []measure
	More               int // measures beyond maxMeasures
	Text               string
	Cut                int  // bytes of text beyond maxText
	Partial            bool // the payload is not all in the row
}

// Epoch is the time in milliseconds with the microseconds behind the point:
// deliveries on one machine take less than a millisecond.
func (v itemRow) Epoch() string { return epoch(v.Time) }

// AcceptedEpoch is Accepted in the form of [itemRow.Epoch]; "" where it is not known.
func (v itemRow) AcceptedEpoch() string {
	if v.Accepted.IsZero() {
		return ""
	}
	return epoch(v.Accepted)
}

func epoch(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMicro())/1000, 'f', 3, 64)
}
