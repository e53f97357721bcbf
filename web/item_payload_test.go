package web_test

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/web"
)

// A row says when it holds a part of the payload alone, as text or beside the numbers
// that it picks out.
func TestRowSaysThatItIsPartial(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name, contentType, data string
		partial                 bool
	}{
		{"short text", "text/plain", "hello", false}, {"a line's end", "text/plain", "a\n", true}, {"another", "text/plain", "a\r\nb", true}, {"a string's", "", `"a\n"`, false}, {"JSON's own", "", "[1]\n", false}, {"a long string", "", `"` + long + `"`, true}, {"long text", "text/plain", long, true},
		{"short JSON", "", `{"a":1,"b":"x"}`, false}, {"long JSON with numbers", "", `{"a":1,"b":"` + long + `"}`, true},
		{"long JSON without", "", `["` + long + `"]`, true}, {"many numbers", "", `{"a":[` + strings.Repeat("1,", 3000) + `1]}`, true},
	} {
		var b bytes.Buffer
		if err := templates(t).Item(&b, web.Item{ID: "1-0", ContentType: c.contentType, Data: []byte(c.data)}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), " data-partial"); got != c.partial {
			t.Errorf("%s: partial %v", c.name, got)
		}
	}
}

// A row has its payload as it came, beside what it shows of it: what is copied is that, and a
// filter finds both.
func TestRowHasThePayloadAsItCame(t *testing.T) {
	for data, payload := range map[string]string{
		`"str"`: `"str"`, `"a\nb"`: `"a\nb"`, `"\u00e9"`: `"\u00e9"`, `""`: `""`, `{"a":1.50}`: `{"a":1.50}`, "[1]\n": "[1]\n", "[1,\x7f]": "[1,\x7f]",
		`42`: "", `1.50`: "", `true`: "", `null`: "", `[1,2]`: "", `{"a":"b"}`: "", // the row shows it as it came
	} {
		row := renderItem(t, web.Item{ID: "1-0", Time: time.Unix(0, 0), Data: []byte(data)})
		got := ""
		if m := regexp.MustCompile(`(?s)<span class="item-data" hidden>(.*?)</span>`).FindStringSubmatch(row); m != nil {
			got = html.UnescapeString(m[1])
		}
		if got != payload || payload == "" && html.UnescapeString(text(row)) != data {
			t.Errorf("%s: payload %q, want %q: %s", data, got, payload, row)
		}
		if !strings.Contains(row, `data-content="json"`) || strings.Contains(row, "data-partial") {
			t.Errorf("%s is not told whole, as JSON: %s", data, row)
		}
	}
}
