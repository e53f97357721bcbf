# The verbs of the project; `make help` lists them. CI calls only these.
#
# Go 1.26 and Node 20 are all that `make run` needs. `make test` needs more, and
# installs it from the system's packages where it may: see `make deps`.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
# Verbs share web/dist and the Go build cache; what may run at once is said by
# .ci/parts, and not by -j.
.NOTPARALLEL:

# nginx lies in sbin, which is not on the PATH of every user.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

ARGS     ?=
# A count, not a time: before Go 1.27 a time may end in "context deadline
# exceeded" without any failing input (golang/go#75804).
FUZZTIME ?= 50000x
SOAK     ?= 10m
RUN      ?= .

# Packages that need no browser, and those that do. e2e/jaeger has a verb of its own.
UNIT = $$(go list ./... | grep -v '^weir/e2e')
E2E  = $$(go list ./e2e/... | grep -v '^weir/e2e/jaeger$$')

# What the page is made from. Tailwind reads class names out of templates and Go files.
PAGE := $(wildcard web/src/* web/templates/* web/*.go) web/build.js

.PHONY: help
help: ## list the verbs (this)
	@echo 'Weir: live events to browsers, and where the time went. Verbs:'
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'
	@echo 'Such as: make run ARGS="-source stdin -addr :9000"'

##### run and build

.PHONY: run
run: build ## build the page and the server, and serve on http://127.0.0.1:8080, any topic and no token (ARGS="flags of weir")
	@echo '» weir $(or $(ARGS),-play)    (Ctrl-C ends it)'
	@exec bin/weir $(or $(ARGS),-play)

.PHONY: build
build: assets ## write the one self-contained binary bin/weir
	@echo '» go build: bin/weir'
	@go build -trimpath -o bin/weir ./cmd/weir </dev/null

.PHONY: assets
assets: web/dist/LICENSES.txt ## build the page into web/dist, which the binary embeds

# npm removes node_modules before it installs, and the stamp with it: a broken
# installation is never taken for a whole one.
web/node_modules/.installed: web/package-lock.json web/package.json web/.npmrc
	@command -v npm >/dev/null || { echo 'make: the page needs Node 20 or later with npm: https://nodejs.org' >&2; exit 1; }
	@echo '» npm ci: the page’s libraries, as the lock file has them'
	@cd web && npm ci --no-progress --loglevel=error </dev/null
	@touch $@

# The build writes this file last.
web/dist/LICENSES.txt: web/node_modules/.installed $(PAGE)
	@echo '» npm run build: web/dist'
	@cd web && npm run build --silent </dev/null
	@touch $@

##### test

.PHONY: test
test: ## everything that a change must pass: lint, unit tests with -race, a short fuzz, the browser suite
	@FUZZTIME=10000x .ci/parts 'make test' deps assets -- fmt+vet+staticcheck+scripts unit fuzz e2e clients

.PHONY: deps
deps: ## install what the tests run (Chromium, Firefox, nginx, Redis, Python, promtool, systemd-analyze, cc), or say what is missing
	@.ci/deps

.PHONY: unit
unit: ## the unit tests, with the race detector
	@go test -race -timeout 15m $(UNIT)

.PHONY: e2e
e2e: assets ## the browser suite, and the configurations of e2e/stack: real Chromium, nginx, Redis (RUN=regexp)
	@go test -count=1 -p 1 -timeout 30m -run '$(RUN)' $(E2E)

.PHONY: e2e-net-http
e2e-net-http: assets ## the browser suite once more, on the other transport
	@go test -count=1 -timeout 30m -run '$(RUN)' ./e2e -env WEIR_TRANSPORT=net/http

e2e/clients/npm/node_modules/.installed: e2e/clients/npm/package-lock.json e2e/clients/npm/package.json e2e/clients/npm/.npmrc
	@echo '» npm ci: the clients that e2e/clients puts before Weir'
	@cd e2e/clients/npm && npm ci --no-progress --loglevel=error </dev/null
	@touch $@

.PHONY: clients
clients: e2e/clients/npm/node_modules/.installed ## put before Weir the clients that its users have, npm's, Go's, Python's and Chromium's, in every misfortune (ARGS="-rows=gap -v")
	@go run ./e2e/clients $(ARGS)

.PHONY: clients-table
clients-table: e2e/clients/npm/node_modules/.installed ## the same, and write the table into README.md
	@go run ./e2e/clients -readme README.md $(ARGS)

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (50000x) each
	@grep -rHoE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' cmd stream telemetry web | sort | \
	while IFS=: read -r file func; do \
		echo "» $${func#func }, $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "./$$(dirname "$$file")" </dev/null; \
	done

.PHONY: soak
soak: assets e2e/clients/npm/node_modules/.installed ## nodes over Redis, over a disk and from a file, under load and misfortune for SOAK (10m), every event accounted for (ARGS="flags of soak")
	@go run ./e2e/soak -for $(SOAK) $(ARGS)

##### lint

.PHONY: lint
lint: assets ## gofmt, vet, staticcheck, the page's scripts
	@.ci/parts 'make lint' fmt+vet+staticcheck+scripts

.PHONY: fmt vet staticcheck scripts
fmt:
	@files=$$(gofmt -l -s cmd stream telemetry web/*.go e2e); \
	if [ -n "$$files" ]; then echo "gofmt -s would change:"; echo "$$files"; exit 1; fi
vet:
	@go vet ./...
	@go vet -tags jaeger ./e2e/jaeger
	@cd e2e/clients/golang && go vet ./...
staticcheck:
	@go tool staticcheck -tags jaeger ./...
scripts:
	@for f in web/src/*.js web/test/*.mjs web/build.js e2e/clients/*.js e2e/clients/npm/*.mjs; do node --check "$$f"; done
	@node --test web/test/*.test.mjs >/dev/null || node --test web/test/*.test.mjs
	@bash -n .ci/run; bash -n .ci/parts; bash -n .ci/deps; bash -n .ci/jaeger; bash -n .ci/film

.PHONY: vuln
vuln: ## govulncheck: known holes in what the code calls (asks vuln.go.dev, so it is not part of test)
	@go run golang.org/x/vuln/cmd/govulncheck@latest ./...

##### bench

.PHONY: bench
bench: build ## measure Weir beside a bare handler, several rounds, and print medians and ratios (ARGS="-quick")
	@go run ./cmd/weir/bench/suite $(ARGS)

# A few seconds of each scenario, for CI: the figures mean little, but a lost
# or repeated event fails it.
.PHONY: bench-smoke
bench-smoke:
	@$(MAKE) --no-print-directory bench ARGS=-quick

.PHONY: microbench
microbench: ## the Go benchmarks of log, cursor, encoder, decoder, handler, topics, telemetry, page (RUN=regexp)
	@go test -run '^$$' -bench '$(RUN)' -benchmem -timeout 30m ./stream/... ./telemetry/... ./web/...

##### Jaeger

.PHONY: jaeger
jaeger: ## run a Jaeger on http://127.0.0.1:16686: from the PATH, Docker, or built by Go (once, about four minutes)
	@.ci/jaeger run

.PHONY: test-jaeger
test-jaeger: assets deps ## press Connect in a real Chromium, and find stream and event in a real Jaeger
	@jaeger=$$(.ci/jaeger path) && WEIR_JAEGER=$$jaeger go test -tags jaeger -count=1 -timeout 10m -v ./e2e/jaeger

.PHONY: film
film: build ## make the README's film and picture of the page (needs Chromium and the package webp)
	@.ci/film

##### clean

.PHONY: clean
clean: ## remove what was built or installed in this directory
	rm -rf bin web/node_modules e2e/out e2e/clients/npm/node_modules
	find web/dist -mindepth 1 ! -name .keep -delete
