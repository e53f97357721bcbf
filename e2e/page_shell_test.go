package e2e_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// curled is what curl is given by a line for a shell, put before one.
func curled(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `curl() { printf '%s\0' "$@"; }; TOKEN=s3cret; `+line).CombinedOutput()
	if err != nil {
		t.Fatalf("a shell says of %s: %v: %s", line, err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// Every line for a shell that the page shows is one that a shell takes, and is about the
// topic that is chosen.
func TestLinesForAShell(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "first=http", "-topics", "run.*", "-publish-token", token, "-subscribe-token", token)
	host := strings.TrimPrefix(s.url(), "http://")
	name := "run.a'b'c%26d" // as an address has it
	p := openPage(t, s.url()+"/t/"+name)
	p.expect(status(401))
	p.give(token)
	p.visible("#allowed")
	is := func(selector string, want ...string) {
		t.Helper()
		if got := curled(t, p.text(selector)); !slices.Equal(got, want) {
			t.Errorf("%s: curl is given %q, want %q", selector, got, want)
		}
	}
	p.wait(`document.getElementById('try-curl').textContent.includes('run.a')`)
	is("#try-curl code", "-d", "hello", "-H", "Authorization: Bearer s3cret", host+"/t/"+name)
	p.click(`#views [data-view=streams]`)
	p.visible("#streams-curl")
	is("#streams-curl", "-N", "-H", "Authorization: Bearer s3cret", host+"/t/"+name)
	p.click(`#topics input[value=first] + span`)
	p.wait(`document.getElementById('streams-curl').textContent.endsWith('/t/first')`)
	p.run(`history.back()`)
	p.wait(`document.getElementById('streams-curl').textContent.includes('run.a')`)
	p.click(`#views [data-view=feed]`)
	p.connect()
	p.says(".feed-empty-more", "Nothing of “run.a'b'c&d” has come yet. Press Publish, or run the line with curl in a terminal.")
	s.publish(name, seq(0, 1)...)
	p.click(`#sse-feed .data-item`)
	p.click("#raw-frame")
	p.wait(`document.getElementById('raw-bytes')?.textContent.includes('id: ')`)
	id := p.text("#event-id")
	is(".raw-curl", "-H", "Authorization: Bearer s3cret", host+"/sse-stream?topic="+name+"&format=json&event="+id)
}
