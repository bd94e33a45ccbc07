# `make` alone says what can be made. `make demo` and `make test` need nothing but Go.
.POSIX:
.SUFFIXES:
.PHONY: help build demo test race integration bench bench-peers fuzz lint cross cover deps clean

# How long `make fuzz` spends on each target.
FUZZTIME = 10s

# What `make race` looks at.
RACE = ./...

# Tests behind a build tag of their own.
TAGS = integration,bench

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

build: ## bin/meshpki
	@version=$$(git describe --tags --dirty 2>/dev/null || echo dev); \
	commit=$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown); \
	mkdir -p bin && CGO_ENABLED=$${CGO_ENABLED:-0} go build -trimpath -tags urfave_cli_no_docs,timetzdata \
		-ldflags "-s -w -X main.version=$$version -X main.commit=$$commit" -o bin/meshpki ./cmd/meshpki

demo: build ## mutual TLS between two services, in a few seconds
	@bin/meshpki demo

test: ## every test that needs nothing but Go
	CGO_ENABLED=$${CGO_ENABLED:-0} go test ./...

race: ## the same under the race detector; needs a C compiler
	CGO_ENABLED=1 go test -race -timeout 40m $(RACE)

integration: ## OpenSSL, GnuTLS, nginx, HAProxy, curl and zlint judge it
	testdata/integration/install
	PATH="$$PATH:/usr/sbin:/sbin" CGO_ENABLED=$${CGO_ENABLED:-0} go test -tags integration -count=1 -parallel 4 -timeout 60m ./...

# What comes first has the file system as it is: who has removed many files slows for
# minutes whoever makes others.
BENCH = CGO_ENABLED=$${CGO_ENABLED:-0} go test -timeout 60m
bench: ## benchmarks in process, and whole processes and their peers
	$(BENCH) -tags bench -count=1 -v -run '^TestBenchVault$$' ./cmd/meshpki
	$(BENCH) -run '^$$' -bench . -benchmem ./...
	MESHPKI_STEP=$$(testdata/tools/build -n step) \
		$(BENCH) -tags bench -count=1 -v -run '^TestBench' -skip '^TestBenchVault$$' ./cmd/meshpki

bench-peers: ## build step, which `make bench` measures where it is there
	testdata/tools/build step

fuzz: ## every fuzz target for FUZZTIME (10s) each
	@list=$$(go test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	for pair in $$(echo "$$list" | awk '/^Fuzz/ {t[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2 ":" t[i]; n = 0}'); do \
		echo "fuzz $$pair"; \
		go test -run '^$$' -fuzz "^$${pair##*:}\$$" -fuzzminimizetime 10x -fuzztime $(FUZZTIME) "$${pair%:*}" || exit 1; \
	done

lint: ## gofmt, vet, staticcheck, golangci-lint, tidy, cross
	@echo "gofmt"; found=$$(gofmt -l .); if [ -n "$$found" ]; then echo "gofmt -w $$found"; exit 1; fi
	go vet -tags $(TAGS) ./...
	@tool=$$(testdata/tools/build staticcheck) && echo staticcheck && "$$tool" -tags $(TAGS) ./...
	@tool=$$(testdata/tools/build golangci) && echo golangci-lint && "$$tool" run ./...
	go mod tidy -diff
	@$(MAKE) cross

cross: ## build and vet: linux, darwin, windows on amd64, arm64
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
		echo "cross $$os/$$arch"; \
		export GOOS=$$os GOARCH=$$arch CGO_ENABLED=0; \
		go build ./... && go build -o /dev/null ./cmd/meshpki && go vet -tags $(TAGS) ./... || exit 1; \
	done; done

cover: ## how much of each package the tests run, and of all
	@mkdir -p bin
	@CGO_ENABLED=$${CGO_ENABLED:-0} go test -coverpkg=./... -coverprofile=bin/cover.out ./... >bin/cover.log || { cat bin/cover.log; exit 1; }
	@awk 'NR > 1 { if (!($$1 in size)) size[$$1] = $$2; if ($$3 > 0) run[$$1] = 1 } \
		END { for (b in size) { p = b; sub(/\/[^\/]*$$/, "", p); n[p] += size[b]; all += size[b]; \
			if (b in run) { r[p] += size[b]; ran += size[b] } } \
			for (p in n) printf "%5.1f %%  %s\n", 100 * r[p] / n[p], p | "sort -k 3"; close("sort -k 3"); \
			printf "%5.1f %%  all\n", 100 * ran / all }' bin/cover.out

deps: ## download modules, install what `make integration` needs
	go mod download
	testdata/integration/install

clean: ## take bin away
	rm -rf bin
