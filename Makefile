# Amends. Every target is also a plain command; see them with: make -n <target>
.DEFAULT_GOAL := help

GOLANGCI := go tool -modfile=tools/golangci/go.mod golangci-lint
PKG ?= ./...

##@ Daily

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## Run the tests (PKG=./saga/... for a part of them)
	go test $(PKG)

.PHONY: race
race: ## Run the tests with the race detector, the short ones
	go test -race -short $(PKG)

.PHONY: lint
lint: ## Run golangci-lint (the first time it is compiled, which takes minutes)
	$(GOLANGCI) run $(PKG)

.PHONY: tidy
tidy: ## Check the repository's own rules
	go test ./internal/tidy

CYCLES ?= 1000
.PHONY: reliability
reliability: ## Break real processes CYCLES times under load, take the bus away for minutes, and audit (1000: about 40 minutes)
	go test ./internal/reliability -count=1 -v -timeout 0 -run '^Test(Faults|Outages)$$' -reliability.cycles=$(CYCLES) -reliability.outage=3m

MINUTES ?= 60
.PHONY: soak
soak: ## Run a system for MINUTES with a fault every 10 s, after minutes of ten times its load
	go test ./internal/overload -count=1 -v -timeout 0 -run '^(TestTenTimesTooMuch|TestPressure|TestSoak)$$' -overload.minutes=1 -overload.soak=$(MINUTES)

CUTS ?= 10000
.PHONY: powercut
powercut: ## Cut the power CUTS times, damage the file as often, and audit (Linux, root; 10000: about an hour)
	go test ./internal/powercut -count=1 -v -timeout 0 -powercut.cuts=$(CUTS) -powercut.flips=$(CUTS)

.PHONY: crashpoints
crashpoints: ## Kill a process at every crash point, and audit (a minute)
	go test -tags crashpoints ./internal/reliability -count=1 -v -run '^TestCrashPoints'

.PHONY: older
older: ## Kill the coordinator of an earlier release BASE under load, and go on with this one (a minute)
	test/older.sh $(BASE)

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## Fuzz every decoder for FUZZTIME each (10s; 20000x is a number of inputs)
	test/fuzz.sh $(FUZZTIME)

.PHONY: ci
ci: ## Run everything that has to hold before a change lands (Debian, as root)
	.ci/run

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
golden: ## Write the golden files anew; read the difference before you commit it
	go test ./saga ./proto ./observe -update

.PHONY: build
build: ## Build the coordinator into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/coordinator ./cmd/coordinator
