//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A table has a cell for each client and row.
type table struct {
	clients []client
	rows    []string
	cells   map[[2]string][]string // what is wrong, by client and row
}

func newTable(clients []client) *table {
	return &table{clients: clients, cells: map[[2]string][]string{}}
}

func (t *table) set(c client, row string, problems []string) {
	t.cells[[2]string{c.name, row}] = problems
}

// cell returns ✓, ✗ or the mark of a fault that is the client's own.
func (t *table) cell(c client, row string) (text, fault string) {
	problems, played := t.cells[[2]string{c.name, row}]
	switch fault = excuse(c.name, row); {
	case !played:
		return "", ""
	case fault != "":
		return "own fault", fault
	case len(problems) > 0:
		return "✗", ""
	default:
		return "✓", ""
	}
}

func (t *table) count() (passed, excused, failed int) {
	for _, c := range t.clients {
		for _, row := range t.rows {
			switch text, _ := t.cell(c, row); text {
			case "✓":
				passed++
			case "✗":
				failed++
			case "own fault":
				excused++
			}
		}
	}
	return passed, excused, failed
}

// print prints the table for a terminal: clients down, rows across by number.
func (t *table) print(w io.Writer) {
	fmt.Fprintln(w)
	for i, row := range t.rows {
		fmt.Fprintf(w, "%2d  %s\n", i+1, row)
	}
	fmt.Fprintf(w, "\n%-28s", "")
	for i := range t.rows {
		fmt.Fprintf(w, " %2d ", i+1)
	}
	fmt.Fprintln(w)
	var faults []string
	for _, c := range t.clients {
		fmt.Fprintf(w, "%-28s", c.name)
		for _, row := range t.rows {
			text, fault := t.cell(c, row)
			if fault != "" {
				text = note(&faults, fault)
			}
			fmt.Fprintf(w, "  %s%s", text, strings.Repeat(" ", max(0, 2-len([]rune(text)))))
		}
		fmt.Fprintln(w)
	}
	for i, fault := range faults {
		fmt.Fprintf(w, "(%c) its own fault: %s\n", 'a'+i, fault)
	}
}

// note returns the letter of a fault.
func note(faults *[]string, fault string) string {
	i := slices.Index(*faults, fault)
	if i < 0 {
		i = len(*faults)
		*faults = append(*faults, fault)
	}
	return string(rune('a' + i))
}

const (
	tableBegins = "<!-- clients: written by make clients-table -->"
	tableEnds   = "<!-- /clients -->"
)

// markdown returns the table for a README.
func (t *table) markdown(versions map[string]string) string {
	var b strings.Builder
	b.WriteString("| Client | Version |")
	for _, row := range t.rows {
		fmt.Fprintf(&b, " %s |", row)
	}
	b.WriteString("\n|---|---|" + strings.Repeat(":-:|", len(t.rows)) + "\n")
	var faults []string
	for _, c := range t.clients {
		fmt.Fprintf(&b, "| %s | %s |", c.name, versions[c.name])
		for _, row := range t.rows {
			text, fault := t.cell(c, row)
			if fault != "" {
				text = "<sup>" + note(&faults, fault) + "</sup>"
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	if len(faults) > 0 {
		b.WriteString("\nA letter is a fault of the client's own, which no server can make good:\n\n")
		for i, fault := range faults {
			fmt.Fprintf(&b, "- <sup>%c</sup> %s.\n", 'a'+i, fault)
		}
	}
	return b.String()
}

// writeInto replaces what is between the markers in a file.
func (t *table) writeInto(file string, versions map[string]string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(tableBegins))
	_, after, foundEnd := bytes.Cut(rest, []byte(tableEnds))
	if !found || !foundEnd {
		return fmt.Errorf("%s has no markers %s and %s", file, tableBegins, tableEnds)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(tableBegins+"\n"+t.markdown(versions)+tableEnds), after), 0o644)
}

// pinned returns the versions of the libraries, of the clients that have one, by
// the files that pin them.
func (m *matrix) pinned() map[string]string {
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	text, _ := os.ReadFile(filepath.Join(m.here, "npm", "package-lock.json"))
	_ = json.Unmarshal(text, &lock)
	mod, _ := os.ReadFile(filepath.Join(m.here, "golang", "go.mod"))
	versions := map[string]string{}
	for _, c := range m.clients {
		switch path := c.path(); {
		case path == "":
		case c.where == golang:
			if m := regexp.MustCompile(regexp.QuoteMeta(path) + ` v(\S+)`).FindSubmatch(mod); m != nil {
				versions[c.name] = string(m[1])
			}
		default:
			versions[c.name] = lock.Packages["node_modules/"+path].Version
		}
	}
	return versions
}

// path is the name of the client's package or module; empty if it has none.
func (c client) path() string {
	switch c.library {
	case "", "EventSource":
		return ""
	case "htmx-2":
		return "htmx.org"
	case "fetch-event-source":
		return "@microsoft/fetch-event-source"
	case "go-sse":
		return "github.com/tmaxmax/go-sse"
	case "r3labs":
		return "github.com/r3labs/sse/v2"
	case "launchdarkly":
		return "github.com/launchdarkly/eventsource"
	}
	return c.library
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

// versions returns the versions of all clients, and of what they run in.
func (m *matrix) versions() map[string]string {
	ask := func(name string) string {
		out, _ := exec.Command(name, "--version").CombinedOutput()
		return versionNumber.FindString(string(out))
	}
	chromium, _ := find("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	versions := m.pinned()
	for _, c := range m.clients {
		switch {
		case c.where == ourselves:
			versions[c.name] = "this one"
		case c.where == python:
			versions[c.name] = "Python " + ask("python3")
		case c.where == node:
			versions[c.name] += ", Node " + ask("node")
		case c.library == "EventSource":
			versions[c.name] = "Chromium " + ask(chromium)
		}
	}
	return versions
}
