//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var three = []published{{id: "1-0", name: "message", text: "a\r\nb"}, {id: "2-0", name: "message", text: "b"}, {id: "3-0", name: orderEvent, text: "c"}}

func event(id, data string) sight { return sight{Kind: "event", Event: "message", ID: id, Data: data} }

func TestVerdict(t *testing.T) {
	first, second, third := event("1-0", "a\nb"), event("2-0", "b"), event("3-0", "c")
	third.Event = orderEvent
	gap := sight{Kind: "event", Event: "gap", Data: `{"from":"1-0","to":"2-0","reason":"expired"}`}
	end := sight{Kind: "event", Event: "close"}
	for _, tc := range []struct {
		name   string
		law    law
		sights []sight
		want   []string
	}{
		{"all", law{}, []sight{first, second, third}, nil},
		{"one lost", law{}, []sight{first, third}, []string{"1 lost"}},
		{"one twice", law{}, []sight{first, second, second, third}, []string{"1 repeated"}},
		{"one late", law{}, []sight{first, third, second}, []string{"1 out of order"}},
		{"one garbled", law{}, []sight{first, event("2-0", "?"), third}, []string{`1 garbled (such as the message "b", which came as the message "?")`}},
		{"one by another name", law{}, []sight{first, second, event("3-0", "c")}, []string{`1 garbled (such as the order "c", which came as the message "c")`}},
		{"an empty message", law{}, []sight{event("1-0", ""), first, second, third}, []string{"1 empty or stray messages"}},
		{"a message of nobody", law{}, []sight{first, second, third, event("4-0", "d")}, []string{"1 empty or stray messages"}},
		{"a gap that is none", law{}, []sight{first, gap, second, third}, []string{"gap told 1 times, but there was none"}},
		{"a gap", law{gap: true}, []sight{first, gap, third}, nil},
		{"a gap told twice", law{gap: true}, []sight{first, gap, gap, third}, []string{"gap told 2 times"}},
		{"lost outside the gap", law{gap: true}, []sight{first, gap}, []string{"1 lost"}},
		{"the end", law{ended: true}, []sight{first, second, third, end}, nil},
		{"no end", law{ended: true}, []sight{first, second, third}, []string{"close told 0 times"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.law.judge(three, tc.sights, false); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVerdictOnWhoWasAway(t *testing.T) {
	now := time.Now()
	all := []published{{id: "1-0", name: "message", text: "a", at: now}}
	late := event("1-0", "a")
	late.at = now.Add(6 * time.Second)
	if got := (law{away: 5 * time.Second}).judge(all, []sight{late}, false); !slices.Equal(got, []string{"away for 6.0 s"}) {
		t.Errorf("got %q", got)
	}
}

func TestVerdictOnHTML(t *testing.T) {
	all := []published{{id: "1-0", text: "red \x1b[31mtext\x00\n"}}
	if got := (law{}).judge(all, []sight{event("1-0", "12:00:00 red text␀")}, true); got != nil {
		t.Errorf("got %q", got)
	}
	if got := (law{}).judge(all, []sight{event("1-0", "12:00:00 green")}, true); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// Every fault that is called a client's own is of a client and a row that exist.
func TestOwnFaultsAreOfTheMatrix(t *testing.T) {
	for key := range ownFaults {
		if !slices.ContainsFunc(allClients, func(c client) bool { return c.name == key[0] }) ||
			!slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == key[1] }) {
			t.Errorf("there is no cell %q", key)
		}
	}
}

// The table in the README is of the libraries that are pinned: who changes those
// runs make clients-table.
func TestTheREADMEHasTheVersionsThatArePinned(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := &matrix{here: filepath.Join(root, "e2e", "clients"), clients: allClients}
	for name, version := range m.pinned() {
		if !strings.Contains(string(text), "| "+name+" | "+version) {
			t.Errorf("the table has no %s %s: run make clients-table", name, version)
		}
	}
}
