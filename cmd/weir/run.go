package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"

	"weir/cmd/weir/bench"
)

// run is the program. Environ is as os.Environ gives it. It returns when ctx is
// done or a signal has ended it.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	proc := &process{stdin: stdin}
	kinds := proc.kinds()
	if len(args) > 0 {
		switch args[0] {
		case "version", "-version", "--version":
			fmt.Fprintf(stdout, "weir %s\n", version())
			return nil
		case "bench":
			err := bench.Run(ctx, args[1:], stdout, stderr)
			if usage := new(bench.UsageError); errors.As(err, &usage) {
				return usageError{err}
			}
			return err
		case "help":
			settings := (&config{kinds: kinds}).settings()
			if len(args) == 2 && args[1] == "-markdown" {
				printMarkdown(stdout, settings)
			} else {
				printHelp(stdout, settings)
			}
			return nil
		}
	}
	cfg, err := parseConfig(args, environ, stdout, kinds)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return serve(ctx, cfg, proc, stdout, stderr)
}

// release is set by a build that has no history to tell it: -ldflags "-X main.release=v1.2.3".
var release string

// version is the release, the module's version, or the commit that it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, dirty := info.Main.Version, ""
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				v = "devel-" + s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-modified"
			}
		}
	}
	return v + dirty
}
