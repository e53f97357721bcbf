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

var versionLine = regexp.MustCompile(`\d+(\.\d+)+`)

// versions finds the versions of all clients: of the libraries in the files that
// pin them, of the programs by asking them.
func (m *matrix) versions() map[string]string {
	ask := func(name string, args ...string) string {
		out, _ := exec.Command(name, args...).CombinedOutput()
		return versionLine.FindString(string(out))
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	text, _ := os.ReadFile(filepath.Join(m.here, "npm", "package-lock.json"))
	_ = json.Unmarshal(text, &lock)
	npm := func(name string) string { return lock.Packages["node_modules/"+name].Version }
	mod, _ := os.ReadFile(filepath.Join(m.here, "golang", "go.mod"))
	module := func(path string) string {
		if m := regexp.MustCompile(regexp.QuoteMeta(path) + ` v(\S+)`).FindSubmatch(mod); m != nil {
			return string(m[1])
		}
		return ""
	}
	path, _ := find("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	chromium := "Chromium " + ask(path, "--version")
	versions := map[string]string{}
	for _, c := range m.clients {
		var v string
		switch c.library {
		case "EventSource":
			v = chromium
		case "htmx-2":
			v = npm("htmx.org") + ", sse " + npm("htmx-ext-sse")
		case "htmx-4":
			v = npm("htmx-4")
		case "fetch-event-source":
			v = npm("@microsoft/fetch-event-source")
		case "go-sse":
			v = module("github.com/tmaxmax/go-sse")
		case "r3labs":
			v = module("github.com/r3labs/sse/v2")
		case "launchdarkly":
			v = module("github.com/launchdarkly/eventsource")
		case "":
			v = "this one"
			if c.where == python {
				v = "Python " + ask("python3", "--version")
			}
		default:
			v = npm(c.library)
			if c.where == node {
				v += ", Node " + ask("node", "--version")
			}
		}
		versions[c.name] = v
	}
	return versions
}
