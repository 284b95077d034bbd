# Amends. Every target is also a plain command; see them with: make -n <target>
.DEFAULT_GOAL := help

GOLANGCI := go tool -modfile=$(CURDIR)/tools/golangci/go.mod golangci-lint
PKG ?= ./...
# With the whole, the module of the tests that need more (docs/adr/0038-test-module.md) has its turn, too.
EVERY := $(if $(filter ./...,$(PKG)),test/modules.sh)

##@ Daily

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: format lint vet generated test ## What a change has to pass before a pull request (minutes; the first time longer)

.PHONY: format
format: ## Refuse Go files that gofmt would change
	@wrong=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$wrong" || { echo "gofmt -w $$wrong"; exit 1; }

.PHONY: vet
vet: ## Compile and vet everything, the laboratories included
	test/modules.sh go vet ./... && test/modules.sh go vet -tags lab ./...

.PHONY: generated
generated: ## Refuse generated code that is not what its sources make
	.ci/run proto

.PHONY: test
test: ## Run the tests (PKG=./saga/... for a part of them)
	$(EVERY) go test $(PKG)

.PHONY: race
race: ## Run the tests with the race detector, the short ones
	go test -race -short $(PKG)

.PHONY: lint
lint: ## Run golangci-lint (the first time it is compiled, which takes minutes)
	$(EVERY) $(GOLANGCI) run $(PKG)

.PHONY: tidy
tidy: ## Check the repository's own rules
	go test ./internal/tool/tidy

.PHONY: busy
busy: ## Run the tests RUNS times beside four endless loops per core (RUNS=10)
	test/busy.sh $(RUNS)

.PHONY: ci
ci: ## Run everything that has to hold before a change lands (Debian, as root)
	.ci/run

##@ Laboratories (tests behind the tag lab; docs/TESTING.md)

.PHONY: lab
lab: ## Run all of them, at the scale of CI
	test/labs.sh

LAB = go test -tags lab -count=1 -v -timeout 0

CYCLES ?= 0
OUTAGE ?= 3s
.PHONY: lab-reliability
lab-reliability: ## Break real processes under load, and audit (CYCLES=1000 OUTAGE=3m: about 40 minutes)
	$(LAB) ./internal/lab/reliability -run '^Test(Owners|Faults|Outages|HarnessCanFail)$$' -reliability.cycles=$(CYCLES) -reliability.outage=$(OUTAGE)

CUTS ?= 0
.PHONY: lab-powercut
lab-powercut: ## Cut the power, damage the file, and audit (Linux, root; CUTS=10000: about an hour)
	cd test && $(LAB) ./powercut -powercut.cuts=$(CUTS) -powercut.flips=$(CUTS)

ROUNDS ?= 0
.PHONY: lab-partition
lab-partition: ## Take network, memory, files, disk and release away, and audit (Linux, root; ROUNDS=3: every fault so often)
	$(LAB) ./internal/lab/partition $(if $(filter-out 0,$(ROUNDS)),-partition.long -partition.rounds=$(ROUNDS))

MINUTES ?= 0
SOAK ?= 0
.PHONY: lab-overload
lab-overload: ## Ask for more than can be had (MINUTES=1 SOAK=60: ten times too much for minutes, then an hour of faults)
	$(LAB) ./internal/lab/overload -overload.minutes=$(MINUTES) -overload.soak=$(SOAK)

.PHONY: lab-timelapse
lab-timelapse: ## Let weeks of virtual time pass over the whole system
	$(LAB) ./internal/lab/timelapse

.PHONY: lab-console
lab-console: ## Use the console in a browser (Chromium)
	cd test && $(LAB) ./console

.PHONY: crashpoints
crashpoints: ## Kill a process at every crash point, and audit (a minute)
	go test -tags lab,crashpoints ./internal/lab/reliability -count=1 -v -run '^TestCrashPoints'

##@ Fuzz and measure

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## Fuzz every decoder for FUZZTIME each (10s; 20000x is a number of inputs)
	test/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Measure sagas per second beside the bare bus and a hand-written saga, and write docs/benchmarks
	go run ./cmd/coordinator bench --carrier tcp,in-process --write docs/benchmarks/figures.jsonl

.PHONY: benchstat
benchstat: ## Compare the benchmarks of the parts with BASE (the last tag, else the last commit), briefly
	test/benchstat.sh $(BASE)

##@ Run

.PHONY: demo
demo: ## Play the checkout demo in one process
	go run ./examples/order-checkout

.PHONY: serve
serve: ## Run a coordinator with an embedded NATS server
	go run ./cmd/coordinator serve

.PHONY: up
up: ## Play the checkout demo in containers
	docker compose up --build

.PHONY: down
down: ## Stop the containers and remove their data
	docker compose down --volumes

##@ Generate and build

.PHONY: generate
generate: ## Generate the Go code of the wire contract
	go generate ./proto

.PHONY: golden
golden: ## Rewrite the golden files; read the difference before you commit it
	go test ./saga/machine ./saga/diagram ./proto ./internal/observe ./examples/order-checkout/definition -update

.PHONY: release-snapshot
release-snapshot: ## Build what a release consists of into dist/, but for the image, and check it
	test/release.sh

.PHONY: build
build: ## Build the coordinator into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/coordinator ./cmd/coordinator
