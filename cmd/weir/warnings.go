package main

import (
	"log/slog"

	"weir/web"
	"weir/web/limits"
)

// descriptorsBeside is about how many descriptors are open beside those of the
// streams.
const descriptorsBeside = 64

// warn logs settings that work, but are probably not what is wanted.
func (c *config) warn(logger *slog.Logger) {
	if !web.HasAssets() {
		logger.Warn("the page was not built into this binary: build one with make build")
	}
	for _, flag := range c.exposed {
		logger.Warn("a secret on the command line can be read by every user of this machine: use the variable, or a file", "flag", flag)
	}
	if most := limits.OpenFiles(); most > 0 && c.limits.Conns > 0 && most < uint64(c.limits.Conns)+descriptorsBeside {
		logger.Warn("fewer descriptors may be open than -max-conns asks for: raise the limit (ulimit -n, LimitNOFILE=)", "limit", most, "max_conns", c.limits.Conns)
	}
}
