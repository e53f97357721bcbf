package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"weir/stream/sse"
)

func ExampleRead() {
	// A server that loses an event, and cuts the connection behind the next.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Header.Get("Last-Event-ID") == "" {
			_, _ = io.WriteString(w, "retry: 10\nid: 1\ndata: one\n\n"+
				"event: gap\nid: 2\ndata: {\"from\":\"1\",\"to\":\"2\",\"reason\":\"slow\"}\n\n"+
				"id: 3\ndata: three\n\n"+"id: 4\ndata: fo")
			return
		}
		_, _ = io.WriteString(w, "id: 4\ndata: four\n\n"+"event: close\ndata: {\"reason\":\"over\"}\n\n")
	}))
	defer srv.Close()

	for msg, err := range sse.Read(context.Background(), srv.URL, nil) {
		var gap *sse.GapError
		switch {
		case errors.As(err, &gap):
			fmt.Printf("lost: everything behind %s up to %s (%s)\n", gap.From, gap.To, gap.Reason)
		case err != nil:
			log.Fatal(err) // the last round of the loop
		case msg.Event == "message":
			fmt.Printf("%s: %s\n", msg.ID, msg.Data)
		}
	}
	fmt.Println("the stream has ended for good")
	// Output:
	// 1: one
	// lost: everything behind 1 up to 2 (slow)
	// 3: three
	// 4: four
	// the stream has ended for good
}

// A program that stores the ID of each message when it has dealt with it begins
// there in its next run.
func ExampleOptions_lastEventID() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "id: 43\ndata: what comes behind %s\n\n", r.Header.Get("Last-Event-ID"))
	}))
	defer srv.Close()

	stored := "42"
	for msg, err := range sse.Read(context.Background(), srv.URL, &sse.Options{LastEventID: stored}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(msg.Data))
		stored = msg.ID
		break
	}
	fmt.Println("next time behind", stored)
	// Output:
	// what comes behind 42
	// next time behind 43
}
