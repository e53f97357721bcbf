package rights_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/web/rights"
)

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTokenFile(t *testing.T) {
	for _, tc := range []struct{ name, text, err string }{
		{"empty", "", ""},
		{"comments and blank lines", "# who may\n\n   \t\npublish abc # the till\n", ""},
		{"carriage returns", "publish abc one\r\nsubscribe def\r\n", ""},
		{"a hash within a token", "publish to#ken one\n", ""},
		{"cut off within a token", "publish abc\nsubscribe hush-hu", "line 2"},
		{"cut off within a topic", "subscribe hush-hush eu.*,us", "line 1"},
		{"patterns", "subscribe abc run.*,orders/eu.*,*\npublish abc */eu\n", ""},
		{"a star within a name", "subscribe hush-hush r*n\n", "line 1"},
		{"unknown word", "publish abc\npubli hush-hush one\n", "line 2"},
		{"no token", "\n\npublish\n", "line 3"},
		{"a token that is a comment", "publish #hush-hush\n", "line 1"},
		{"too many words", "publish hush-hush one two\n", "line 1"},
		{"a space in the topics", "publish hush-hush one, two\n", "line 1"},
		{"an empty topic", "publish hush-hush one,\n", "line 1"},
		{"a bad topic", "publish abc\nsubscribe hush-hush a/b/c\n", "line 2"},
		{"upper case", "PUBLISH hush-hush\n", "line 1"},
	} {
		path := write(t, tc.text)
		_, err := rights.New(rights.Options{TokenFile: path})
		if tc.err == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one of %s", tc.name, err, tc.err)
		} else if strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%s: the error tells the token: %v", tc.name, err)
		}
	}
	if _, err := rights.New(rights.Options{TokenFile: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "token file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
