package eventlog_test

import (
	"encoding/json"
	"errors"
	"testing"

	"weir/stream/eventlog"
)

// What a publisher says of its data is what readers are told.
func TestCloudEventsCarryTheirData(t *testing.T) {
	for _, tc := range []struct{ name, members, contentType, data string }{
		{"no content type", `"data":{"a":1}`, "", `{"a":1}`},
		{"no data", ``, "", `null`},
		{"data null", `"data":null`, "", `null`},
		{"JSON", `"datacontenttype":"application/json","data":[1]`, "", `[1]`},
		{"JSON, as it is often written", `"datacontenttype":"application/json; charset=utf-8","data":[1]`, "", `[1]`},
		{"a type of JSON", `"datacontenttype":"application/vnd.order+json","data":{"a":1}`, "application/vnd.order+json", `{"a":1}`},
		{"XML", `"datacontenttype":"application/xml","data":"<a>é</a>"`, "application/xml", `"\u003ca\u003eé\u003c/a\u003e"`},
		{"XML in base64", `"datacontenttype":"application/xml","data_base64":"PGEvPg=="`, "application/xml", `"\u003ca/\u003e"`},
		{"JSON in base64", `"data_base64":"eyJhIjoxfQ=="`, "", `{"a":1}`},
		{"HTML", `"datacontenttype":"text/html; charset=utf-8","data":"<b>"`, "text/html; charset=utf-8", `"\u003cb\u003e"`},
		{"text", `"datacontenttype":"text/plain","data":"a\nb"`, "text/plain", `"a\nb"`},
		{"text without data", `"datacontenttype":"text/plain"`, "text/plain", `""`},
		{"null attributes are absent", `"subject":null,"dataschema":null,"ext":null,"time":null,"datacontenttype":null,"data_base64":null,"data":1`, "", `1`},
	} {
		text := `{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-01-02T03:04:05Z"`
		if tc.name == "null attributes are absent" {
			text = `{"specversion":"1.0","id":"1","source":"s","type":"t"`
		}
		if tc.members != "" {
			text += "," + tc.members
		}
		e, err := eventlog.ParseCloudEvent([]byte(text + "}"))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		out, err := e.AppendCloudEvent(nil)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var told map[string]json.RawMessage
		if err := json.Unmarshal(out, &told); err != nil {
			t.Errorf("%s: %v: %s", tc.name, err, out)
		}
		var contentType string
		if raw := told["datacontenttype"]; raw != nil {
			_ = json.Unmarshal(raw, &contentType)
		}
		if contentType != tc.contentType || string(told["data"]) != tc.data || told["ext"] != nil || told["subject"] != nil {
			t.Errorf("%s: told %s", tc.name, out)
		}
	}
	for name, members := range map[string]string{
		"binary data":                    `"datacontenttype":"image/png","data_base64":"iVBORw=="`,
		"binary data as JSON":            `"data_base64":"iVBORw=="`,
		"both":                           `"data":1,"data_base64":"MQ=="`,
		"no base64":                      `"data_base64":"!"`,
		"XML that is an object":          `"datacontenttype":"application/xml","data":{"a":1}`,
		"no media type":                  `"datacontenttype":"json","data":1`,
		"a header's end":                 `"datacontenttype":"text/plain\r\nX: y","data":"1"`,
		"JSON that is none":              `"datacontenttype":"application/x+json","data_base64":"e30gMQ=="`,
		"an extension that is an object": `"ext":{}`,
		"a time before the calendar":     `"time":"0000-01-01T00:00:00+23:59"`,
		"a time behind it":               `"time":"9999-12-31T23:59:59-23:59"`,
	} {
		_, err := eventlog.ParseCloudEvent([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t",` + members + `}`))
		if !errors.Is(err, eventlog.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
