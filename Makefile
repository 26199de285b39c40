# make help lists what there is to do.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 10s
SOAK        ?= 10m

.DEFAULT_GOAL := help
.PHONY: help build run test race vet fmt lint bench sim soak fuzz generate check-generated clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

build: ## Build bin/weir, which is static
	@CGO_ENABLED=0 go build -ldflags "-X main.version=$(VERSION)" -o bin/weir ./cmd/weir

run: build ## Serve examples/quickstart
	@exec bin/weir run examples/quickstart

test: ## Run all tests
	@go test ./...
	@go test -tags http3 ./gateway -run HTTP3

race: ## Run all tests with the race detector
	@go test -race ./...

vet: ## Run go vet
	@go vet ./...
	@go vet -tags http3 ./gateway

fmt: ## Format all Go files, the examples and the flows of the guide
	@gofmt -w .
	@go run ./cmd/weir fmt examples docs/guide

lint: vet ## Run go vet and staticcheck (fetched through the module proxy)
	@go run $(STATICCHECK) ./...

bench: ## Measure Weir against a hand-written service
	@go run ./cmd/bench

sim: ## Simulate how calls fare when endpoints do not, and print the tables
	@go test -count=1 -v ./mesh/sim

soak: ## Serve a mixed load for SOAK (10m) while files, keys and services change, and print what became of it
	@go test ./cmd/weir -count=1 -v -timeout 0 -run '^TestSoak$$' -soak $(SOAK)

fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

generate: ## Write docs/reference, the guide's table of metrics and docs/conformance.md
	@go run ./cmd/weir docs
	@go test ./cmd/weir -run '^TestTheGuideDescribesAllMetrics$$' -update >/dev/null
	@go test . -run '^TestConformance$$' -update >/dev/null

check-generated: ## Fail if what generate writes is not what the code says
	@go test ./cmd/weir -run '^(TestReferenceIsUpToDate|TestTheGuideDescribesAllMetrics)$$'
	@go test . -run '^TestConformance$$'

clean: ## Remove what was built
	@rm -rf bin
