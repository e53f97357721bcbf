package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// A checkpoint says where a File stands.
type checkpoint struct {
	Version int    `json:"v"`
	Path    string `json:"path"`
	// Host tells whether a file that cannot be found may be on another
	// machine, whose source feeds the same topic.
	Host string `json:"host,omitempty"`
	// Time is when the files were looked at last: of copies that were made after
	// that, and of files that have had the name since, this says nothing.
	Time time.Time `json:"time"`
	// Files are those that are read, oldest first. None: no file had the name.
	Files []position `json:"files,omitempty"`
}

const checkpointVersion = 1

// Limits of what is believed.
const (
	maxCheckpoint = 64 << 10
	maxPositions  = 64
)

// A position is a place in a file. A file is known by its inode, and, since
// inodes are used again, by what stands before the place. The number of the
// device is no part of it: it may be another one after the machine has started
// again.
type position struct {
	Inode  uint64 `json:"inode,omitempty"` // 0 where the system has none
	Offset int64  `json:"offset"`
	Before string `json:"before,omitempty"` // sum of the bytes before Offset
	Length int    `json:"length,omitempty"` // how many of them
	// Over says that the file has lost its name and was given up.
	Over bool `json:"over,omitempty"`
}

// maxBefore is how many bytes before a place are summed up.
const maxBefore = 1024

func sumBefore(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// positionAt returns the place at an offset, with the bytes before it.
func positionAt(inode uint64, offset int64, before []byte) position {
	return position{Inode: inode, Offset: offset, Before: sumBefore(before), Length: len(before)}
}

// encode returns the checkpoint as it is stored.
func (c *checkpoint) encode() []byte {
	b, _ := json.Marshal(c) // cannot fail for these types
	return b
}

// parseCheckpoint reads what encode wrote, and refuses everything else.
func parseCheckpoint(b []byte) (*checkpoint, error) {
	if len(b) > maxCheckpoint {
		return nil, errors.New("the checkpoint is too long")
	}
	c := new(checkpoint)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("the checkpoint is not one of a file: %w", err)
	}
	if c.Version != checkpointVersion {
		return nil, fmt.Errorf("the checkpoint is of version %d, and this program knows %d", c.Version, checkpointVersion)
	}
	if len(c.Files) > maxPositions {
		return nil, errors.New("the checkpoint has too many files")
	}
	for _, p := range c.Files {
		if p.Offset < 0 || p.Length < 0 || p.Length > maxBefore || int64(p.Length) > p.Offset || (p.Length == 0) != (p.Before == "") || (p.Length == 0) != (p.Offset == 0) {
			return nil, errors.New("the checkpoint has a place that cannot be")
		}
	}
	return c, nil
}

func hostName() string {
	name, _ := os.Hostname() // empty where it is not known
	return name
}
