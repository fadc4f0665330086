# `make` lists what there is. `make test` works on a fresh Debian 12 with Go, Node, git and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo build test race fuzz screens bench check

PACKAGES  ?= ./...
TESTFLAGS ?=
FUZZTIME  ?= 30s
# Where goroutines of several instances meet.
CONCURRENT = ./storage/... ./provider/... ./internal/account/signin/... ./internal/server/...

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## everything on this machine, nothing installed: http://localhost:8080
	go run ./cmd/idp demo

build: ## the programs, into bin/
	go build -trimpath -o bin/ ./cmd/...

test: ## every test, on SQLite and on a PostgreSQL and a Redis of its own
	scripts/install-needs.sh
	scripts/with-stores.sh go test -count=1 -shuffle=on -timeout 15m $(TESTFLAGS) $(PACKAGES)
	$(if $(filter ./...,$(PACKAGES)),cd test/blackbox && ../../scripts/with-stores.sh go test -count=1 -shuffle=on -timeout 15m $(TESTFLAGS) ./...)

race: ## the race detector over what runs concurrently
	scripts/install-needs.sh
	CGO_ENABLED=1 scripts/with-stores.sh go test -race -count=1 -shuffle=on -timeout 15m $(TESTFLAGS) $(CONCURRENT)

fuzz: ## every fuzz target for FUZZTIME (30s); what it finds stays as a seed in testdata/fuzz
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(grep -oh '^func Fuzz[A-Za-z0-9]*' "$$dir"/*_test.go | cut -d' ' -f2); do \
			echo "$$dir $$target"; go test "$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit; \
		done; \
	done

screens: ## every page and state in both languages as pictures, into screens/
	scripts/install-needs.sh
	go run ./internal/screens -out screens

bench: ## rate, processor time and allocations of every operation on both pairs of stores; the costliest input
	scripts/install-needs.sh
	scripts/with-stores.sh go test -run '^$$' -bench . -benchtime 1x -timeout 20m ./internal/server

check: ## format, vet, staticcheck, floors, interoperability with software of others
	scripts/install-needs.sh
	@unformatted=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r gofmt -l) || exit; \
		if [ -n "$$unformatted" ]; then echo "run gofmt on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	cd test/blackbox && go vet ./...
	go test -count=1 ./internal/floors
	scripts/interop.sh
