package source

import (
	"bytes"
	"fmt"
	"io"
)

// A tailReader reads what has been added to the file of a tail. The file may be cut
// off at any moment, and have grown again beyond where the next read begins: at once
// when its writer does not append, since what is written then stands where the writer
// was. Such bytes are not what comes after those that were read before. They are left
// for when the tail has noticed that the file was cut off, and is read from its beginning.
type tailReader struct {
	tail   *tail
	at     int64  // where the next read begins
	before []byte // the last bytes that were read
	ended  bool   // there is nothing more to read
}

// Read implements [io.Reader]. Where the file was cut off, it returns io.EOF.
func (r *tailReader) Read(b []byte) (int, error) {
	if r.ended {
		return 0, io.EOF
	}
	n, err := fileReader{r.tail.file}.Read(b)
	if n <= 0 {
		return n, err
	}
	follows, failed := r.follows(b[:n])
	if failed != nil || !follows {
		if _, err := r.tail.file.Seek(r.at, io.SeekStart); err != nil {
			return 0, fmt.Errorf("seek in %s: %w", r.tail.file.Name(), err)
		}
		if failed == nil {
			failed = io.EOF
		}
		return 0, failed
	}
	r.at += int64(n)
	r.before = keepLast(r.before, b[:n])
	return n, err
}

// follows reports whether bytes that have just been read come after those that were
// read before. What was read before is looked at after the read: if it stands there
// still, the file was not cut off until then.
func (r *tailReader) follows(b []byte) (bool, error) {
	before, err := r.tail.readBefore(r.at, len(r.before))
	if err != nil || bytes.Equal(before, r.before) {
		return err == nil, err
	}
	r.tail.size = -1 // the next look is to see it, whatever the file's size and time
	// If the bytes stand where they were, the file was cut off before the read, and
	// they are read with the rest of it. Else it was cut off since.
	again, err := r.tail.readBefore(r.at+int64(len(b)), len(b))
	return err == nil && !bytes.Equal(again, b), err
}
