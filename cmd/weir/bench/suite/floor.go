package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// The floor is what a Go programmer writes in an afternoon, and what most SSE
// libraries are underneath: a channel for each connection, a write and a flush
// for each event. It checks nothing, replays nothing, traces nothing. A reader
// that does not keep up loses events without being told. What Weir costs is
// told as a multiple of it.
type floor struct {
	mu    sync.RWMutex
	conns map[chan []byte]bool
}

// floorQueue is how many events wait for one connection.
const floorQueue = 64

func (f *floor) stream(w http.ResponseWriter, r *http.Request) {
	events := make(chan []byte, floorQueue)
	f.mu.Lock()
	f.conns[events] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, events)
		f.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	flusher := w.(http.Flusher)
	flusher.Flush()
	for {
		select {
		case e := <-events:
			if _, err := w.Write(e); err != nil {
				return
			}
			flusher.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (f *floor) publish(w http.ResponseWriter, r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		e := append(append([]byte("data: "), lines.Bytes()...), "\n\n"...)
		f.mu.RLock()
		for events := range f.conns {
			select {
			case events <- e:
			default:
			}
		}
		f.mu.RUnlock()
	}
	if lines.Err() != nil {
		http.Error(w, lines.Err().Error(), http.StatusBadRequest)
	}
}

// serveFloor runs the floor until ctx is done.
func serveFloor(ctx context.Context, stdout io.Writer) error {
	f := &floor{conns: make(map[chan []byte]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sse-stream", f.stream)
	mux.HandleFunc("POST /publish", f.publish)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	fmt.Fprintf(stdout, "listening on http://%s\n", l.Addr())
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
