// Command weir serves live events to browsers by Server-Sent Events, and shows
// for every connection and every event where the time went.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	err := run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "weir: %v\nSee weir --help.\n", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "weir: %v\n", err)
		os.Exit(1)
	}
}
