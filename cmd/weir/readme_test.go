package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The README's table of flags is printed by the code.
func TestReadmeListsTheFlags(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<!-- flags -->\n")
	table, _, found := strings.Cut(rest, "<!-- /flags -->")
	if !found {
		t.Fatal("the README has no table of flags")
	}
	var want bytes.Buffer
	printMarkdown(&want, (&config{kinds: testKinds}).settings())
	if table != want.String() {
		t.Errorf("the README's table of flags is not current: put in what weir help -markdown prints")
	}
}
