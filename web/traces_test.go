package web_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestTracesInEveryForm asks as the page, a browser that navigates, and a program
// do.
func TestTracesInEveryForm(t *testing.T) {
	s := newSite(t, full)
	for _, path := range []string{"/traces", "/traces/" + strings.Repeat("a", 32) + "?event=1-0"} {
		for form, header := range map[string][]string{
			"fragment": {"HX-Request", "true", "Accept", "text/html", "Sec-Fetch-Mode", "cors"},
			"page":     {"Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode", "navigate"},
			"json":     {"Accept", "application/json"},
		} {
			w := s.do("GET", path, "", header...)
			body, media := w.Body.String(), w.Header().Get("Content-Type")
			whole := strings.Contains(body, "<html")
			if w.Code != 200 || whole != (form == "page") || (form == "json") != (media == "application/json") {
				t.Errorf("%s as %s: %d %s, a whole page: %v", path, form, w.Code, media, whole)
			}
			if form == "json" && !json.Valid([]byte(body)) {
				t.Errorf("%s: %s", path, body)
			}
			if strings.Contains(body, "<b>\"") {
				t.Errorf("%s as %s: a subject is not escaped", path, form)
			}
		}
	}
	var list struct {
		Traces []struct {
			TotalMS float64 `json:"total_ms"`
			Last    string  `json:"last"`
			URL     string  `json:"url"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(s.do("GET", "/traces", "", "Accept", "application/json").Body.Bytes(), &list); err != nil ||
		len(list.Traces) != 1 || list.Traces[0].TotalMS != 60 || list.Traces[0].Last != "process" || !strings.HasPrefix(list.Traces[0].URL, "/traces/0000") {
		t.Errorf("%+v, %v", list, err)
	}
}
