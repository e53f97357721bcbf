package source_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"weir/stream"
	"weir/stream/source"
)

func TestReadLines(t *testing.T) {
	full := strings.Repeat("x", source.MaxLine)
	for _, test := range []struct {
		name, input string
		want        []string
		long        int
	}{
		{"nothing", "", nil, 0},
		{"one", "a\n", []string{"a"}, 0},
		{"no line end at the end", "a\nb", []string{"a", "b"}, 0},
		{"CRLF", "a\r\nb\r\n", []string{"a", "b"}, 0},
		{"CR within", "10%\r20%\r\n", []string{"10%\r20%"}, 0},
		{"only one CR is of the line end", "a\r\r\n", []string{"a\r"}, 0},
		{"CR at the end", "a\r", []string{"a"}, 0},
		{"empty lines", "\n\r\na\n\n\nb\n\n", []string{"a", "b"}, 0},
		{"spaces are something", " \n", []string{" "}, 0},
		{"NUL and bad UTF-8", "\x00\xff\n", []string{"\x00\xff"}, 0},
		{"longest", full + "\n", []string{full}, 0},
		{"longest, CRLF", full + "\r\na\n", []string{full, "a"}, 0},
		{"longest, no line end", full, []string{full}, 0},
		{"one too many", full + "x\na\n", []string{"a"}, 1},
		{"one too many, CRLF", full + "x\r\na\n", []string{"a"}, 1},
		{"a CR too many", full + "\ra\nb\n", []string{"b"}, 1},
		{"too long, no line end", "a\n" + full + "x", []string{"a"}, 1},
		{"far too long", "a\n" + strings.Repeat(full, 40) + "\nb", []string{"a", "b"}, 1},
		{"each is counted", strings.Repeat(full+full+"\n", 3) + "a", []string{"a"}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once":       strings.NewReader(test.input),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(test.input)),
				"data with EOF": iotest.DataErrReader(strings.NewReader(test.input)),
			} {
				lines, long, err := source.ReadLines(r)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := texts(lines); !slices.Equal(got, test.want) || long != test.long {
					t.Errorf("%s: got %.60q and %d too long, want %.60q and %d", name, got, long, test.want, test.long)
				}
			}
		})
	}
}

func texts(lines [][]byte) (s []string) {
	for _, line := range lines {
		s = append(s, string(line))
	}
	return s
}

func TestReadLinesError(t *testing.T) {
	broken := errors.New("broken")
	lines, _, err := source.ReadLines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)))
	if got := texts(lines); !errors.Is(err, broken) || !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLineEvent(t *testing.T) {
	for line, contentType := range map[string]string{
		`{"a":1}`:           stream.JSON,
		` [1, 2] `:          stream.JSON,
		"\t{}":              stream.JSON,
		`{"a":1`:            stream.Text,
		`{"a":1}{"b":2}`:    stream.Text,
		`[2026-01-01] text`: stream.Text,
		`17`:                stream.Text,
		`"text"`:            stream.Text,
		`null`:              stream.Text,
		`text`:              stream.Text,
		" ":                 stream.Text,
		"\x00\xff":          stream.Text,
		"{\"a\":\"\xff\"}":  stream.JSON,
	} {
		e := source.LineEvent([]byte(line))
		if e.ContentType != contentType || string(e.Data) != line || e.Type != source.LineType {
			t.Errorf("%q: got %s %s %q, want %s", line, e.Type, e.ContentType, e.Data, contentType)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte("a\r\n\nb\n{\"c\":1}"), uint16(3), uint32(0))
	f.Add([]byte("\x00\x00\na\x00b\n\x00\x00c\n\x00"), uint16(0), uint32(0))
	f.Add([]byte("\x00b\n"), uint16(8191), uint32(16<<10))
	f.Add([]byte("x\ny"), uint16(1), uint32(source.MaxLine))
	f.Add([]byte("\r\ny\r"), uint16(7), uint32(source.MaxLine))
	f.Fuzz(func(t *testing.T, input []byte, chunk uint16, pad uint32) {
		// The pad brings the interesting bytes to where lines are too long.
		input = append(bytes.Repeat([]byte{'p'}, int(pad%(3*source.MaxLine))), input...)
		lines, long, err := source.ReadLines(&chunks{input, int(chunk) + 1})
		if err != nil {
			t.Fatal(err)
		}
		// The same, by the simple way that knows no limit.
		var want [][]byte
		wantLong := 0
		for line := range bytes.SplitSeq(input, []byte{'\n'}) {
			switch line = bytes.TrimSuffix(line, []byte{'\r'}); {
			case len(line) > source.MaxLine:
				wantLong++
			case len(line) > 0:
				want = append(want, line)
			}
		}
		if long != wantLong || !slices.EqualFunc(lines, want, bytes.Equal) {
			t.Fatalf("got %d lines and %d too long, want %d and %d", len(lines), long, len(want), wantLong)
		}
		checkFileLines(t, input, int(chunk)+1)
		for _, line := range lines {
			if e := source.LineEvent(line); e.Validate() != nil {
				t.Fatalf("%q makes an event that is not valid", line)
			}
		}
	})
}

// checkFileLines reads the input as a file is read: NULs at the beginning of a
// line are no part of it, and what is remembered is what stands in the input.
func checkFileLines(t *testing.T, input []byte, chunk int) {
	t.Helper()
	last := func(end int64) []byte { return input[max(0, end-1024):end] }
	lines, long, err := source.ReadFileLines(&chunks{input, chunk}, func(used, partial int64, before, lately []byte) {
		if !bytes.Equal(before, last(used)) || !bytes.Equal(lately, last(used+partial)) {
			t.Fatalf("behind %d and %d bytes, %q and %q are remembered", used, partial, before, lately)
		}
		if used > 0 && input[used-1] != '\n' {
			t.Fatalf("a line ends at %d, in the middle", used)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	wantLong := 0
	for line := range bytes.SplitSeq(input, []byte{'\n'}) {
		switch line = bytes.TrimSuffix(bytes.TrimLeft(line, "\x00"), []byte{'\r'}); {
		case len(line) > source.MaxLine:
			wantLong++
		case len(line) > 0:
			want = append(want, line)
		}
	}
	if long != wantLong || !slices.EqualFunc(lines, want, bytes.Equal) {
		t.Fatalf("as a file: got %d lines and %d too long, want %d and %d", len(lines), long, len(want), wantLong)
	}
}

// chunks reads at most n bytes at a time.
type chunks struct {
	rest []byte
	n    int
}

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.n)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
