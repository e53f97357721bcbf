package source

import (
	"context"
	"errors"
	"time"

	"weir/stream"
)

func openFile(argument string) (stream.Source, error) {
	if argument == "" {
		return nil, errors.New("source file needs a path, as in file:/var/log/syslog")
	}
	return &File{Path: argument}, nil
}

// A File publishes the lines that are added to a file, from when the source
// runs first. A file that is not there yet is waited for, which counts as one
// failure, and then read from its beginning.
//
// Where the topic keeps checkpoints (see [stream.CheckpointPublisher]), the
// source goes on in the next process where it was in the last one, each line
// once: what was added in the meantime is read, also when the file was rotated.
//
// # Rotation
//
// A file that loses its name is followed until it has been quiet for a while,
// since whoever writes may have it open still, and is then closed. Its last
// line counts without a line end then. A file that has been truncated is read
// again from its beginning, once what a copy of it holds, such as app.log.1,
// has been read; NUL bytes at the beginning of a line, which a writer leaves
// that does not append, are skipped.
//
// A source that starts finds a file that has lost its name by its inode in the
// same directory, and reads what was written to app.log.1, app.log.2 and so on
// since. What was read and is gone, or was compressed before anything of it was
// read, such as into app.log.1.gz, is told as a failure.
//
// # What is not followed
//
// Only regular files are. When a directory, a named pipe or a device gets the
// name, or a symbolic link where there was none when the source first ran, that
// is a failure; it is never opened for reading or waited for. A path that is a
// symbolic link from the beginning is followed, also to another file. Files of
// the proc file system have no end that could be followed: run a program
// instead, such as exec:dmesg --follow.
//
// The source looks at the file four times a second: that costs nothing worth
// naming, and works on network and container mounts, where notifications by
// the kernel do not. It does not see a file that was there for less than that.
type File struct {
	// Path names the file.
	Path string
	// Interval is the time between two looks. Default: 250 ms.
	Interval time.Duration
	// Quiet is how long a file that has lost its name must have been quiet to
	// be given up. Default: 5 s.
	Quiet time.Duration
	// FromStart reads what the file holds at first, too. Default: only what is
	// added.
	FromStart bool

	// Where to go on when run again in this process.
	looked bool        // at the path, at least once
	linked bool        // the path is a symbolic link
	state  *checkpoint // after what has been published; nil before the first look
	told   string      // the fault of the path that was told last
}

// Run implements [stream.Source].
func (s *File) Run(ctx context.Context, p stream.Publisher) error {
	w := &watch{File: s, to: p, interval: s.Interval, quiet: s.Quiet}
	w.keep, _ = p.(stream.CheckpointPublisher)
	if w.interval <= 0 {
		w.interval = 250 * time.Millisecond
	}
	if w.quiet <= 0 {
		w.quiet = 5 * time.Second
	}
	defer w.close()
	if err := w.resume(ctx); err != nil {
		return ended(err)
	}
	looks := time.NewTicker(w.interval)
	defer looks.Stop()
	for {
		if err := w.look(ctx); err != nil {
			return ended(err)
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
