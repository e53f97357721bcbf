package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// maxLines is how long a file may be: it holds one thing, and is read in one sitting.
const maxLines = 400

// Every file of code is short, the load generator's aside.
func TestFilesAreShort(t *testing.T) {
	root, seen := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case "node_modules", "dist", "bench", ".git", "testdata":
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".js", ".mjs", ".css":
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: cut it by what it does", path, n, maxLines)
		}
		return nil
	})
	if err != nil || seen < 300 {
		t.Errorf("%d files: %v", seen, err)
	}
}
