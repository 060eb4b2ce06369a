SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Arguments for `make demo` and `make bench`, and for `go test` in `make test`, as in: make test ARGS='-run TestCommit -v'
ARGS ?=

# What `make sim` runs: so many seeds, from FIRST on.
SEEDS ?= 20000
FIRST ?= 0

# What `make chaos` runs: what decides about its faults, and for how long it makes them.
SEED ?= 1
DURATION ?= 5m

# Some of kgo's locks are real ones; with this tag they let a virtual-time test (testing/synctest) go on.
TAGS := synctests
TOOLS := .bin/.built

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: check
check: fmt-check vet tidy-check generated lint vuln ## everything that is checked without running a test

.PHONY: test
test: servers ## all tests, with the race detector; installs the servers they need (scripts/servers.sh)
	CI=true go test -race -tags $(TAGS) -timeout 30m $(ARGS) ./...
	go test -tags $(TAGS) -count=1 -timeout 15m ./internal/sim -seeds 2000
	go test -race -tags $(TAGS) -count=1 -timeout 15m ./internal/sim -first 2000 -seeds 300
	cd test && CI=true go test -race -tags $(TAGS) -count=1 -timeout 20m $(ARGS) $$(go list ./... | grep -v '/memory$$\|/chaos$$') # a test builds the program: no cache sees it
	cd test && CI=true go test -tags $(TAGS) -count=1 -timeout 20m $(ARGS) ./memory # 6 GB are produced, and RSS is measured: not under -race
	cd test && CI=true go test -race -tags $(TAGS) -count=1 -timeout 10m $(ARGS) ./chaos # a short run; beside other packages its 40 processes have too little of the machine

.PHONY: sim
sim: ## simulate whole clusters in virtual time: make sim SEEDS=20000 FIRST=0
	go test -tags $(TAGS) -count=1 -timeout 5h -v -run '^TestSim$$' ./internal/sim -first $(FIRST) -seeds $(SEEDS) \
		| grep -v '^ *\(=== \|--- PASS\)'

.PHONY: chaos
chaos: servers ## break real processes, brokers and databases while a ledger counts: make chaos SEED=7 DURATION=30m
	cd test && go build -o ../.bin/chaos ./chaos && ../.bin/chaos -seed $(SEED) -duration $(DURATION) $(ARGS)

.PHONY: mutants
mutants: ## break the code on purpose, and see the tests catch it
	cd internal/mutants && GOGC=400 go test -tags "$(TAGS) mutants" -count=1 -timeout 30m # by its folder: so its table is printed

.PHONY: demo
demo: ## show it at work, with nothing installed
	go run ./cmd/sluice demo $(ARGS)

.PHONY: bench
bench: servers ## the same jobs on every peer, side by side
	cd bench && go run . $(ARGS)

.PHONY: build
build: ## build the program into .bin/sluice
	go build -trimpath -o .bin/sluice ./cmd/sluice

.PHONY: fmt
fmt: ## format the code
	gofmt -w .

.PHONY: fmt-check
fmt-check:
	@files=$$(gofmt -l .); if [[ -n $$files ]]; then printf 'not formatted, run make fmt:\n%s\n' "$$files" >&2; exit 1; fi

.PHONY: generate
generate: ## write the files that are generated
	go test -tags $(TAGS) -count=1 -run '^TestGenerated' . ./metrics ./monitor/exporter ./internal/lint -update

.PHONY: generated
generated:
	@out=$$(go test -tags $(TAGS) -count=1 -run '^TestGenerated' . ./metrics ./monitor/exporter ./internal/lint 2>&1) || \
		{ head -n 5 <<<"$$out" >&2; printf 'if a generated file is stale, run make generate\n' >&2; exit 1; }

.PHONY: vet
vet:
	go vet -tags $(TAGS) work

.PHONY: lint
lint: $(TOOLS) ## golangci-lint over the product, its tests and its benchmarks
	.bin/golangci-lint run ./... ./test/... ./bench/...

.PHONY: tidy-check
tidy-check:
	go mod tidy -diff
	cd bench && go mod tidy -diff
	cd test && go mod tidy -diff
	cd tools && GOWORK=off go mod tidy -diff

.PHONY: vuln
vuln: $(TOOLS) ## govulncheck, where its database can be reached
	@scripts/vuln.sh -tags $(TAGS) ./...

.PHONY: servers
servers: ## find or install the servers that the tests start
	@scripts/servers.sh

$(TOOLS): tools/go.mod tools/go.sum
	cd tools && GOWORK=off go build -o ../.bin/ tool
	@touch $@
