package main

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// faultEvery is how often a kind of fault is logged at most.
const faultEvery = time.Second

// faultKinds are what net/http logs, by how its lines begin.
var faultKinds = []struct {
	prefix, message string
	level           slog.Level
}{
	{"http: panic serving", "a handler has panicked", slog.LevelError},
	{"http2: panic serving", "a handler has panicked", slog.LevelError},
	{"http: Accept error", "a connection cannot be accepted", slog.LevelError},
	{"http: TLS handshake error", "a TLS handshake has failed", slog.LevelWarn},
	{"", "a fault in serving HTTP", slog.LevelWarn},
}

// A faultLog logs what net/http has to say, each kind of fault once in faultEvery
// at most: clients can make as many faults as they like. What was left out is
// counted.
type faultLog struct {
	out    *slog.Logger
	mu     sync.Mutex
	recent map[string]*recentFaults // by message
	closed bool
}

// recentFaults are the faults of a kind since the last that was logged.
type recentFaults struct {
	level slog.Level
	count int
	last  string
	timer *time.Timer // logs them
}

func newFaultLog(out *slog.Logger) *faultLog {
	return &faultLog{out: out, recent: make(map[string]*recentFaults)}
}

// logger returns a logger for [http.Server.ErrorLog].
func (f *faultLog) logger() *log.Logger { return log.New(f, "", 0) }

// Write takes one line, and the stack that may follow it.
func (f *faultLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	for _, kind := range faultKinds {
		if strings.HasPrefix(text, kind.prefix) {
			f.add(kind.message, kind.level, text)
			break
		}
	}
	return len(line), nil
}

func (f *faultLog) add(message string, level slog.Level, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	if r := f.recent[message]; r != nil {
		r.count++
		r.last = text
		return
	}
	f.tell(message, level, text, 1)
	r := &recentFaults{level: level}
	r.timer = time.AfterFunc(faultEvery, func() { f.flush(message) })
	f.recent[message] = r
}

// flush logs what has come since the last time, and forgets a kind that is quiet.
func (f *faultLog) flush(message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.recent[message]
	if r == nil {
		return
	}
	if r.count == 0 {
		delete(f.recent, message)
		return
	}
	f.tell(message, r.level, r.last, r.count)
	r.count = 0
	r.timer.Reset(faultEvery)
}

func (f *faultLog) tell(message string, level slog.Level, text string, times int) {
	first, stack, _ := strings.Cut(text, "\n")
	attrs := []slog.Attr{slog.String("error", first)}
	if stack != "" {
		attrs = append(attrs, slog.String("stack", stack))
	}
	if times > 1 {
		attrs = append(attrs, slog.Int("times", times))
	}
	f.out.LogAttrs(context.Background(), level, message, attrs...)
}

// close logs what was left out.
func (f *faultLog) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for message, r := range f.recent {
		r.timer.Stop()
		if r.count > 0 {
			f.tell(message, r.level, r.last, r.count)
		}
	}
	clear(f.recent)
}
