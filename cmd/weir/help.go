package main

import (
	"fmt"
	"io"
	"strings"
)

const helpIntro = `Weir serves live events to browsers by Server-Sent Events, and shows for every
connection and every event where the time went.

Usage:
  weir [flags]              serve
  weir bench [flags] URL    measure an SSE server; see weir bench --help
  weir version              print the version
  weir help                 print this; weir help -markdown prints the flags as a table

Examples:
  weir                                      a simulated sensor and this machine, on a page
  journalctl -f | weir -source stdin        lines of a program, on a page
  weir -source 'cpu=exec:vmstat 1'          any program is a source
  weir -source orders=http -publish-token s3cret
      curl -H 'Authorization: Bearer s3cret' -H 'Content-Type: application/json' \
           -d '{"total":9.5}' 'http://127.0.0.1:8080/publish?topic=orders'
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 weir     traces go to Jaeger

Every flag is also a variable: -write-timeout is WEIR_WRITE_TIMEOUT. Flags win.
`

// printHelp lists the flags by group. Those of a group follow each other.
func printHelp(w io.Writer, settings []setting) {
	fmt.Fprint(w, helpIntro)
	group := ""
	for _, s := range settings {
		if s.group != group {
			group = s.group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		head := "-" + s.name
		if s.value != "" {
			head += " " + s.value
		}
		fmt.Fprintf(w, "  %s\n", head)
		usage := s.usage
		if s.def != "" {
			usage += " (default " + s.def + ")"
		}
		for paragraph := range strings.SplitSeq(usage, "\n") {
			for _, line := range wrap(paragraph, 72) {
				fmt.Fprintf(w, "        %s\n", line)
			}
		}
	}
	fmt.Fprint(w, "\nExit status: 0 after an orderly end, 1 after a failure, 2 for a mistake\nin the flags, the variables, or what a file says that they name.\n")
}

func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// printMarkdown prints the flags as the README's table.
func printMarkdown(w io.Writer, settings []setting) {
	fmt.Fprint(w, "| Flag | Default | What it does |\n|---|---|---|\n")
	for _, s := range settings {
		flag := "-" + s.name
		if s.value != "" {
			flag += " " + s.value
		}
		def := s.def
		if def == "" {
			def = "off"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", flag, def, strings.NewReplacer("|", `\|`, "\n", "<br>").Replace(s.usage))
	}
}
