package web_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"weir/stream/source"
	"weir/web"
)

func templates(t testing.TB) *web.Templates {
	t.Helper()
	tpl, err := web.ParseTemplates(nil)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

func renderItem(t testing.TB, it web.Item) string {
	t.Helper()
	var b bytes.Buffer
	if err := templates(t).Item(&b, it); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestItem(t *testing.T) {
	got := renderItem(t, web.Item{
		ID: "1763832000123-4", Time: time.UnixMicro(1763832000123456), Traceparent: traceparent, Topic: "sensor",
		Name: "reading", Type: "weir.reading", Data: []byte(`{"temperature":21.25,"humidity":50.5,"pressure":1010}`),
	})
	for _, want := range []string{
		`<div class="data-item" `, `data-id="1763832000123-4"`, `data-time="1763832000123.456"`,
		`data-type="weir.reading"`, `data-name="reading"`, `<span class="item-name">reading</span>`, `data-traceparent="` + traceparent + `"`, `>4bf92f35</span>`,
		`data-measure="temperature" data-value="21.25" data-label="Temperature" data-unit="°C"`, `<b>21.2</b>`,
		`data-measure="pressure" data-value="1010"`, `<b>1010.0</b><i> hPa</i>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\n") {
		t.Error("a one-line payload became more than one line")
	}
}

// measures lists name=value in the order in which the row shows them.
func measures(html string) string {
	var list []string
	for _, m := range regexp.MustCompile(`data-measure="([^"]*)" data-value="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		list = append(list, m[1]+"="+m[2])
	}
	return strings.Join(list, " ")
}

var textOf = regexp.MustCompile(`(?s)<bdi class="item-text">(.*?)</bdi>`)

func text(html string) string {
	if m := textOf.FindStringSubmatch(html); m != nil {
		return m[1]
	}
	return ""
}

func TestItemPayloads(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, data string
		measures, text          string
	}{
		{name: "order of appearance", data: `{"z":1,"a":2.5,"m":-3e2}`, measures: "z=1 a=2.5 m=-300"},
		{name: "the last of two members counts", data: `{"a":1,"b":2,"a":3}`, measures: "a=3 b=2"},
		{name: "other members are text", data: `{"n":1,"msg":"hi","ok":true,"at":{"x": 1},"nil":null}`, measures: "n=1", text: `msg hi · ok true · at {&#34;x&#34;:1} · nil null`},
		{name: "no numbers", data: `{"msg":"hi"}`, text: `{&#34;msg&#34;:&#34;hi&#34;}`},
		{name: "nested numbers are no measures", data: `{"a":{"b":1}}`, text: `{&#34;a&#34;:{&#34;b&#34;:1}}`},
		{name: "a number too large to chart", data: `{"a":1e999,"b":1}`, measures: "b=1", text: "a 1e999"},
		{name: "no units of Weir's own for others", data: `{"fd_limit":1024,"open_fds":12}`, measures: "fd_limit=1024 open_fds=12"},
		{name: "array", data: `[1,2]`, text: "[1,2]"},
		{name: "string", data: `"a \"line\""`, text: `a &#34;line&#34;`},
		{name: "number alone", data: `42`, text: "42"},
		{name: "broken JSON", data: `{"a":1,`, text: `{&#34;a&#34;:1,`},
		{name: "empty", data: ``, text: ""},
		{name: "text that looks like JSON", contentType: "text/plain", data: `{"a":1}`, text: `{&#34;a&#34;:1}`},
		{name: "lines", contentType: "text/plain", data: "a\r\nb\rc\n\td\n", text: "a\nb\nc\n\td"},
		{name: "terminal colours", contentType: "text/plain", data: "\x1b[1;31mred\x1b[0m \x1b]0;title\x07ok", text: "red ok"},
		{name: "NUL and other controls are seen", contentType: "text/plain", data: "a\x00b\x1bc\x7f", text: "a␀b␛c␡"},
		{name: "invalid UTF-8", contentType: "text/plain", data: "a\xff\xfeb\xc3", text: "a\uFFFDb\uFFFD"},
		{name: "script", contentType: "text/plain", data: `<script>alert(1)</script>`, text: `&lt;script&gt;alert(1)&lt;/script&gt;`},
		{name: "end of the element", data: `{"n":1,"x":"</bdi></div><img src=x onerror=alert(1)>"}`, measures: "n=1", text: `x &lt;/bdi&gt;&lt;/div&gt;&lt;img src=x onerror=alert(1)&gt;`},
		{name: "hostile names", data: `{"\" onclick=\"alert(1)":1,"<b>":2}`, measures: "&#34; onclick=&#34;alert(1)=1 &lt;b&gt;=2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			html := renderItem(t, web.Item{ID: "1-1", Time: time.Unix(0, 0), ContentType: tc.contentType, Data: []byte(tc.data)})
			if got := measures(html); got != tc.measures {
				t.Errorf("measures %q, want %q", got, tc.measures)
			}
			if got := text(html); got != tc.text {
				t.Errorf("text %q, want %q", got, tc.text)
			}
			checkFragment(t, html)
		})
	}
}

// The units are those of Weir's own readings: what others call a temperature may be in
// kelvin.
func TestUnitsAreOfOwnReadings(t *testing.T) {
	for typ, unit := range map[string]bool{source.ReadingType: true, "weir.event": false, "com.example.weather": false} {
		html := renderItem(t, web.Item{ID: "1-1", Type: typ, Data: []byte(`{"temperature":295.15}`)})
		if strings.Contains(html, "°C") != unit || unit == strings.Contains(html, "295.15</b>") {
			t.Errorf("%s: %s", typ, html)
		}
	}
}

func TestItemLimit(t *testing.T) {
	html := renderItem(t, web.Item{ID: "1-1", Type: source.ReadingType, Data: []byte(`{"open_fds":12,"fd_limit":1048576}`)})
	if !strings.Contains(html, `data-limit="1,048,576"`) {
		t.Errorf("no limit in %s", html)
	}
}

func TestItemLargePayloads(t *testing.T) {
	line := strings.Repeat("é", 1<<19) // 1 MiB
	html := renderItem(t, web.Item{ID: "1-1", ContentType: "text/plain", Data: []byte(line)})
	checkFragment(t, html)
	if len(html) > 8<<10 {
		t.Errorf("a line of 1 MiB became a row of %d bytes", len(html))
	}
	if want := "1.0 MB in all"; !strings.Contains(html, want) {
		t.Errorf("the row does not say %q", want)
	}

	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `,"key%d":%d`, i, i)
	}
	html = renderItem(t, web.Item{ID: "1-1", Data: []byte("{" + many.String()[1:] + "}")})
	checkFragment(t, html)
	if got := strings.Count(html, "data-measure="); got != 16 {
		t.Errorf("%d measures, want 16", got)
	}
	if !strings.Contains(html, "984 more numbers") {
		t.Error("the row does not say how many numbers it leaves out")
	}
}

func TestItemRefusesForgedTraceparent(t *testing.T) {
	for _, tp := range []string{"", "x", traceparent + `" onclick="alert(1)`, strings.ToUpper(traceparent), traceparent[:54]} {
		html := renderItem(t, web.Item{ID: "1-1", Traceparent: tp, Data: []byte("1")})
		if strings.Contains(html, "traceparent") {
			t.Errorf("traceparent %q came through: %s", tp, html)
		}
	}
}

// checkFragment holds a fragment to one root element and to nothing that a
// browser would run.
func checkFragment(t *testing.T, html string) {
	t.Helper()
	if !utf8.ValidString(html) || strings.Contains(html, "\x00") {
		t.Error("not clean UTF-8")
	}
	if !strings.HasPrefix(html, `<div class="data-item" `) || !strings.HasSuffix(html, `</div>`) {
		t.Errorf("not one element of class data-item: %.200s", html)
	}
	open := regexp.MustCompile(`<([a-z]+)`).FindAllStringSubmatch(html, -1)
	for _, tag := range open {
		switch tag[1] {
		case "div", "span", "time", "b", "i", "small", "bdi":
		default:
			t.Errorf("element <%s> in %.300s", tag[1], html)
		}
	}
	if closed := strings.Count(html, "</"); closed != len(open) {
		t.Errorf("%d elements, %d ends", len(open), closed)
	}
	names := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(html, `""`)
	if regexp.MustCompile(`<[^>]*\s(on[a-z]+|style|x-[a-z]+|hx-[a-z]+)=`).MatchString(names) {
		t.Errorf("an attribute that acts: %.300s", html)
	}
}

func FuzzItem(f *testing.F) {
	f.Add("application/json", []byte(`{"temperature":21.2,"msg":"</div><script>"}`))
	f.Add("text/plain", []byte("a\x00\xff\x1b[0m<img src=x onerror=1>"))
	tpl := templates(f)
	f.Fuzz(func(t *testing.T, contentType string, data []byte) {
		var b bytes.Buffer
		if err := tpl.Item(&b, web.Item{ID: string(data), Type: string(data), ContentType: contentType, Data: data}); err != nil {
			t.Fatal(err)
		}
		checkFragment(t, b.String())
	})
}

func TestJourney(t *testing.T) {
	var b bytes.Buffer
	j := web.Journey{
		TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", JaegerURL: "http://127.0.0.1:16686/trace/4bf9", Topic: "sensor", EventID: "1-1", TotalMS: 2,
		Rows: []web.JourneyRow{
			{Name: "send sensor", Step: "send", Service: "weir", DurationMS: 0.5, SharePct: 25, Kind: "producer"},
			{Name: "network", Step: "network", StartMS: 0.5, DurationMS: 0.5, SharePct: 25, Gap: true},
			{Name: "process sensor", Step: "process", Service: "weir-browser", StartMS: 1.9999, DurationMS: 0.0001, SharePct: 0.005, Kind: "consumer"},
		},
	}
	if err := templates(t).Journey(&b, j); err != nil {
		t.Fatal(err)
	}
	html := b.String()
	for _, want := range []string{
		`<strong data-total>2.00 ms</strong>`, `from sensor to screen`, `data-copy="4bf92f3577b34da6a3ce929d0e0e4736"`,
		`href="http://127.0.0.1:16686/trace/4bf9"`, `class="fill" data-step="send" x="0.00%" y="50%" width="25.00%"`,
		`class="fill-gap" data-step="network" x="25.00%" y="50%" width="25.00%"`, `data-service="weir-browser"`,
		`class="fill" data-step="process" x="98.50%" y="50%" width="1.50%"`, // too short to see, and still inside
		`0.1 µs`, `&lt; 1 %`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s in\n%s", want, html)
		}
	}
	if strings.Contains(html, "style=") {
		t.Error("a style attribute, which the content security policy blocks")
	}
}

// A duration is written by the server as the page writes it: see measures.test.mjs.
func TestDurationsAreWrittenInOneWay(t *testing.T) {
	for ms, want := range map[float64]string{0.25: "0.25 ms", 9.5: "9.50 ms", 9.996: "10.0 ms", 99.96: "100 ms", 100: "100 ms", 999.4: "999 ms", 999.6: "1.00 s", 1577: "1.58 s", 12_345: "12.3 s", 59_951: "1 min", 123_456: "2 min 3 s", 7_380_000: "2 h 3 min", 200_000_000: "2 days"} {
		var b bytes.Buffer
		if err := templates(t).Journey(&b, web.Journey{TotalMS: ms}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "<strong data-total>"+want+"</strong>") {
			t.Errorf("%v ms is not written as %s in %s", ms, want, b.String())
		}
	}
}

func TestJourneyMissing(t *testing.T) {
	var b bytes.Buffer
	j := web.Journey{TraceID: "4bf9", JaegerURL: "javascript:alert(1)", Missing: `gone <b>for good</b>`}
	if err := templates(t).Journey(&b, j); err != nil {
		t.Fatal(err)
	}
	html := b.String()
	if !strings.Contains(html, "gone &lt;b&gt;for good") || strings.Contains(html, "waterfall") {
		t.Errorf("the reason is not shown as text, or a waterfall is: %s", html)
	}
	if strings.Contains(html, "javascript:") {
		t.Errorf("a link that runs: %s", html)
	}
}

// Whose journey it is that is not this page's own is told as another's.
func TestJourneyOfAnotherReader(t *testing.T) {
	for own, want := range map[bool]bool{false: true, true: false} {
		var b bytes.Buffer
		if err := templates(t).Journey(&b, web.Journey{TraceID: "4bf9", Connection: "c7bd67", Own: own}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), ">Another reader</dt>") && strings.Contains(b.String(), "c7bd67"); got != want {
			t.Errorf("own %v: %s", own, b.String())
		}
	}
}

func TestJourneyOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := templates(t).Journey(&b, web.Journey{Rows: []web.JourneyRow{{Name: "send", DurationMS: 1}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("a journey of no length: %s", b.String())
	}
}

func page(t *testing.T, p web.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := templates(t).Page(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPage(t *testing.T) {
	html := page(t, web.Page{
		Topics: []string{"sensor", `a"b<c>`}, Topic: "sensor", Traceparent: traceparent, HeartbeatMS: 15000, RetryMS: 2000, HasAssets: true,
	})
	for _, want := range []string{
		`<meta name="traceparent" content="` + traceparent + `">`, `data-heartbeat="15000"`, `data-retry="2000"`,
		`value="sensor" checked`, `value="a&#34;b&lt;c&gt;"`, `id="sse-feed"`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s in the page", want)
		}
	}
	// What the content security policy would block, or a browser would fetch elsewhere.
	for _, forbidden := range []string{` style="`, `<style`, `onclick`, `hx-on`, `src="http`, `href="http`, `data-no-details`} {
		if strings.Contains(html, forbidden) {
			t.Errorf("%s in the page", forbidden)
		}
	}
	if regexp.MustCompile(`<script>|<script [^>]*>[^<]`).MatchString(html) {
		t.Error("an inline script")
	}
	// Alpine's CSP build and the policy allow names, not expressions.
	for _, m := range regexp.MustCompile(` x-(?:on|bind|show|text|data)[a-z:-]*="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if !regexp.MustCompile(`^[a-zA-Z]+$`).MatchString(m[1]) {
			t.Errorf("expression %q in an attribute", m[1])
		}
	}
}

func TestPageWithoutAssets(t *testing.T) {
	html := page(t, web.Page{Topics: []string{"sensor"}, Topic: "sensor"})
	if !strings.Contains(html, "make build") {
		t.Error("the page does not name the verb that builds the assets")
	}
	if strings.Contains(html, "/assets/") {
		t.Error("the page asks for assets that are not there")
	}
}

func TestPageAssets(t *testing.T) {
	if !web.HasAssets() {
		if _, err := fs.Stat(web.Dist(), ".keep"); err != nil {
			t.Errorf("neither assets nor their placeholder are embedded: %v", err)
		}
		return
	}
	html := page(t, web.Page{Topics: []string{"sensor"}, Topic: "sensor", HasAssets: true})
	for _, m := range regexp.MustCompile(`/assets/([^"]+)`).FindAllStringSubmatch(html, -1) {
		if _, err := fs.Stat(web.Dist(), m[1]); err != nil {
			t.Errorf("the page asks for an asset that was not built: %v", err)
		}
	}
}

func TestParseTemplatesNeedsAll(t *testing.T) {
	if _, err := web.ParseTemplates(fstest.MapFS{"index.html": {Data: []byte("x")}}); err == nil {
		t.Error("templates without item.html and journey.html were accepted")
	}
}

// A Writer that fails must be reported, and a template that fails must not have written.
func TestRenderErrors(t *testing.T) {
	tpl, err := web.ParseTemplates(fstest.MapFS{
		"index.html":   {Data: []byte("before {{.NoSuchField}}")},
		"item.html":    {Data: []byte("x")},
		"journey.html": {Data: []byte("x")},
		"traces.html":  {},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tpl.Page(&b, web.Page{}); err == nil || b.Len() != 0 {
		t.Errorf("error %v, and %q was written", err, b.String())
	}
}

func BenchmarkItem(b *testing.B) {
	tpl := templates(b)
	it := web.Item{ID: "1763832000123-4", Time: time.Now(), Traceparent: traceparent, Data: []byte(`{"temperature":21.2,"humidity":50.5,"pressure":1010.1}`)}
	var buf bytes.Buffer
	for b.Loop() {
		buf.Reset()
		if err := tpl.Item(&buf, it); err != nil {
			b.Fatal(err)
		}
	}
}
