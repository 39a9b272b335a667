# millrace. `make` shows what there is.
.DEFAULT_GOAL := help

# The SAM CLI that `make up` installs, else the one on the PATH.
SAM ?= $(or $(wildcard .local/venv-sam/bin/sam),sam)
# The table of samconfig.toml: default is your AWS account, local is the emulated cloud.
STAGE ?= default

# Vector instructions for the trainer and whoever ranks items (shared/kernel), in what is built and in what is tested. The experiment
# is Go 1.26's; without it everything compiles and gives the same answers, several times slower.
export GOEXPERIMENT = simd

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {sub("%", "<function>", $$1); printf "  \033[1m%-20s\033[0m %s\n", $$1, $$2}' Makefile

# ── The whole system on this machine ────────────────────────────────────────────────────────────────────────────────

.PHONY: demo up down status env
demo: ## Real rows to real recommendations on this machine: no AWS account, no Docker
	@go run ./local demo

up: ## Start the local cloud and deploy into it what changed
	@go run ./local up

down: ## Stop what up and demo started
	@go run ./local down

status: ## Show what of it runs
	@go run ./local status

env: ## Print what a shell needs to talk to it: eval "`make -s env`"
	@go run ./local env

# ── Change it ───────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: check check-static test
check: ## Format, vet and unit tests without any server: after every change
	@$(call must_print_nothing,gofmt -l $(GO_DIRECTORIES))
	go vet work
	go test $(addsuffix /...,$(filter-out ./local,$(MODULES)))

check-static: ## All that can be found without running it
	@$(call must_print_nothing,gofmt -l $(GO_DIRECTORIES))
	go vet work
	GOEXPERIMENT= go vet $(WITH_VECTORS)
	GOARCH=arm64 go vet $(WITH_VECTORS)
	go run $(STATICCHECK) work
	@result=0; for module in $(MODULES); do echo go mod tidy -diff in $$module; (cd $$module && GOWORK=off go mod tidy -diff) || result=1; done; exit $$result
	@$(MAKE) --no-print-directory ARTIFACTS_DIR='$(CURDIR)/.local/check' $(addprefix build-,$(addsuffix Function,$(FUNCTIONS)))
	go run ./local sam validate --lint

test: ## All tests, with servers of their own: units, integration, end to end
	GOEXPERIMENT= go test -count=1 $(WITH_VECTORS)
	@go run ./local test

.PHONY: race chaos soak fuzz
race: ## What serves the stream, under the race detector (needs a C compiler)
	CGO_ENABLED=1 go run ./local test -race ./shared/eventsource ./shared/activemodel ./shared/vectorstore ./shared/redrive ./shared/replay ./functions/recommender ./functions/api ./local/lambdaruntime

chaos: ## 100 seeds of kills, partitions and faults against the stream, 300 kills at its side effects, one at each message of a load (a quarter of an hour; CHAOS_SEED=n runs one again)
	CHAOS_SEEDS=$(or $(CHAOS_SEEDS),$(if $(CHAOS_SEED),1,100)) go run ./local test ./local/chaos -v -timeout 2h
	$(if $(CHAOS_SEED),,MILLRACE_KILL_EVERY=1 go run ./local test ./shared/vectorstore -run ThatIsKilled -v -timeout 2h)

soak: ## One recommender under steady load for SOAK=30m: memory, goroutines, connections
	SOAK=$(or $(SOAK),30m) go run ./local test ./local/chaos -run Grows -v -timeout 24h

fuzz: ## Hostile events, aggregated records, manifests and artifacts for FUZZ=1m each, beyond the committed corpora that make test runs
	cd shared && go test ./event -run '^$$' -fuzz FuzzParse -fuzztime $(or $(FUZZ),1m)
	cd shared && go test ./kpl -run '^$$' -fuzz FuzzSplit -fuzztime $(or $(FUZZ),1m)
	cd shared && go test ./model -run '^$$' -fuzz FuzzManifest -fuzztime $(or $(FUZZ),1m)
	cd shared && go test ./model -run '^$$' -fuzz FuzzArtifact -fuzztime $(or $(FUZZ),1m)

# What is written twice, with vector instructions and without.
WITH_VECTORS := $(addprefix ./shared/,kernel eigen cholesky als)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GO_DIRECTORIES := bench cli functions local shared
# Those of go.work.
MODULES = $(patsubst $(CURDIR)/%,./%,$(shell go list -m -f '{{.Dir}}'))
must_print_nothing = found=$$($(1)) && if [ -n "$$found" ]; then echo 'not as $(1) wants it:' && echo "$$found" && exit 1; fi

# ── Measure it ──────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS ?= 2000000,20000000
REPETITIONS ?= 5

.PHONY: bench-batch
bench-batch: ## MySQL to Parquet beside other tools, into bench/RESULTS.md (an hour; MariaDB installed; ROWS=100000 REPETITIONS=1 to try)
	@mkdir -p .local/bench && go build -o .local/bench/bench ./bench
	@.local/bench/bench --rows $(ROWS) --repetitions $(REPETITIONS)

.PHONY: bench-model
bench-model: ## Models on public data in ../shared/data beside other libraries, into bench/RESULTS.md (an hour; fetches no data; DIMENSIONS=64 to try)
	@mkdir -p .local/bench-model && GOEXPERIMENT=simd go build -o .local/bench-model/ ./cli ./bench/model && mv .local/bench-model/cli .local/bench-model/millrace
	@GOEXPERIMENT=simd .local/bench-model/model --dimensions $(or $(DIMENSIONS),64$(comma)128$(comma)256)

.PHONY: bench-stream
bench-stream: ## The recommender, pgvector's HNSW, cold starts, the loader, with servers of its own, into bench/RESULTS.md (half an hour; ITEMS=10000 to try)
	@go run ./local with-servers go run ./bench/stream --items $(or $(ITEMS),10000$(comma)100000$(comma)1000000)

comma := ,

# ── Build and deploy ────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: build validate deploy
build: ## Build every function as a static binary: what `sam build` does, nothing more
	$(SAM) build --config-env $(STAGE)

validate: ## Check template.yaml
	$(SAM) validate --lint

deploy: build ## Deploy to your AWS account (the first time, to choose the parameters: sam deploy --guided)
	$(SAM) deploy --config-env $(STAGE)

# `sam build` sets it through arch/<Architecture>/Makefile, which includes this file.
GOARCH ?= amd64

# `sam build` makes build-<LogicalId>, such as build-ExtractorFunction, and says where to in ARTIFACTS_DIR.
# CGO_ENABLED=0: a static binary, or it would want the C library of the machine it was built on. GOWORK=off: from the function's own
# go.mod alone, so that no other module of the workspace can change what is deployed. Without symbols, paths and commit the same
# source gives the same bytes, and a deployment replaces only the functions that changed.
build-%Function: function = $(call lowercase,$*)
build-%Function:
	cd functions/$(function) && CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) GOWORK=off \
	  go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '-s -w' -o '$(ARTIFACTS_DIR)/bootstrap' .

# ── One function: make invoke-extractor, make logs-extractor ────────────────────────────────────────────────────────

FUNCTIONS := Extractor Partitioner Trainset Trainer Loader Recommender Api
lowercase = $(shell echo $(1) | tr 'A-Z' 'a-z')
# $(call logical_id,extractor) is ExtractorFunction.
logical_id = $(or $(strip $(foreach f,$(FUNCTIONS),$(if $(filter $(1),$(call lowercase,$(f))),$(f)Function))),$(error there is no function $(1): one of $(call lowercase,$(FUNCTIONS))))

invoke-%: ## Run one function in Docker on the local cloud, with its first events/<function>-*.json or EVENT=file
	@go run ./local invoke $* $(EVENT)

logs-%: ## Follow the log of one function (STAGE=local: of the emulated cloud)
	$(SAM) logs --config-env $(STAGE) --name $(call logical_id,$*) --tail
