package web_test

import (
	"encoding/json"
	"html"
	"os"
	"strings"
	"testing"

	"weir/stream/source"
	"weir/web"
)

// The rule by which a number is written is one table, which holds for the rows here and
// for the charts of the page: see numbers.test.mjs.
func TestNumbersAreWrittenByOneRule(t *testing.T) {
	table, err := os.ReadFile("testdata/numbers.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][2]string
	if err := json.Unmarshal(table, &cases); err != nil || len(cases) == 0 {
		t.Fatal(cases, err)
	}
	for _, c := range cases {
		row := html.UnescapeString(renderItem(t, web.Item{ID: "1-1", Data: []byte(`{"n":` + c[0] + `}`)}))
		if !strings.Contains(row, "<b>"+c[1]+"</b>") {
			t.Errorf("%s is not written as %s in %s", c[0], c[1], row)
		}
	}
}

// A reading has as many digits as are known to mean something.
func TestNumbersOfReadingsHaveTheirDigits(t *testing.T) {
	for n, want := range map[string]string{"21.25": "21.2", "1010": "1010.0", "-0.01": "0.0", "12345.67": "12,345.7", "1e-5": "0.0", "2e9": "2,000,000,000.0"} {
		html := renderItem(t, web.Item{ID: "1-1", Type: source.ReadingType, Data: []byte(`{"pressure":` + n + `}`)})
		if !strings.Contains(html, "<b>"+want+"</b>") {
			t.Errorf("%s is not written as %s in %s", n, want, html)
		}
	}
}
