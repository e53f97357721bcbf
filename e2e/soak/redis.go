//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A redis is a real redis-server that writes to disk whatever it acknowledges,
// so that killing it loses nothing; or a Sentinel.
type redis struct {
	process
	dir  string
	addr string
	path string
	args []string
}

func newRedis(dir, name string, args ...string) (*redis, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is needed: make deps installs it")
	}
	r := &redis{dir: filepath.Join(dir, name), path: path}
	r.name, r.logPath = name, filepath.Join(dir, name+".log")
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, err
	}
	if r.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(r.addr)
	r.args = append([]string{"--bind", host, "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always"}, args...)
	return r, nil
}

func (r *redis) start(ctx context.Context) error {
	if _, err := r.begin(exec.Command(r.path, r.args...), false); err != nil {
		return err
	}
	return eventually(ctx, patience, r.name+" does not answer", func() bool {
		answer, _ := r.ask("PING")
		return answer == "+PONG" // and not that it is still loading
	})
}

// ask sends a command of plain words and returns the answer's first line, or
// the text where the answer is one.
func (r *redis) ask(command string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.addr, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "%s\r\n", command)
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if length, is := strings.CutPrefix(line, "$"); is {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 {
			return "", err
		}
		text := make([]byte, n)
		_, err = io.ReadFull(in, text)
		return string(text), err
	}
	return line, nil
}

// must sends a command that is answered by OK, until it is.
func (r *redis) must(ctx context.Context, command string) error {
	var answer string
	var err error
	failed := eventually(ctx, patience, "it is not answered by OK", func() bool {
		answer, err = r.ask(command)
		return err == nil && answer == "+OK"
	})
	if failed != nil {
		return fmt.Errorf("%s: %s: %w: %s %w", r.name, command, failed, answer, err)
	}
	return nil
}

// tells reports whether the server's INFO has all of the texts.
func (r *redis) tells(texts ...string) bool {
	info, err := r.ask("INFO")
	for _, text := range texts {
		if err != nil || !strings.Contains(info, text) {
			return false
		}
	}
	return true
}
