package rights

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ReadPatience is how long [ReadFile] waits for a file.
const ReadPatience = 5 * time.Second

// ErrSilent marks a file that does not answer.
var ErrSilent = errors.New("the file does not answer: it may be a FIFO, or its disk hangs")

// ReadFile reads a file of at most most bytes. A file may be a FIFO that nobody
// writes to, or lie on a disk that hangs: after [ReadPatience] the error
// is ErrSilent. The call to the system cannot be taken back, so it keeps a thread until the file
// answers.
func ReadFile(name string, most int64) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text, err := readAll(name, most)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		return r.text, r.err
	case <-time.After(ReadPatience):
		return nil, fmt.Errorf("%s: %w", name, ErrSilent)
	}
}

func readAll(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = errors.New("it is too large")
	}
	return text, err
}
