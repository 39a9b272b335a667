# millrace. `make` shows what there is.
.DEFAULT_GOAL := help

SAM ?= sam

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-zA-Z%<>_-]+:.*## / {printf "  \033[1m%-22s\033[0m %s\n", $$1, $$2}' Makefile

# ── Build and deploy ────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: build validate deploy
build: ## Build every function as a static binary (what sam build does)
	$(SAM) build

validate: ## Check template.yaml
	$(SAM) validate --lint

deploy: build ## Deploy to your AWS account (the first time: sam deploy --guided)
	$(SAM) deploy

# What the binaries are built for. `sam build` sets it through arch/<Architecture>/Makefile.
GOARCH ?= amd64

# `sam build` calls build-<LogicalId>, e.g. build-ExtractorFunction, with ARTIFACTS_DIR set.
# CGO_ENABLED=0 and GOOS: a binary that needs nothing of the system it was built on. GOWORK=off: each function is built from its own
# go.mod, not from the workspace's. No symbols, no paths and no commit in it: same source, same zip, nothing to deploy.
build-%Function: function = $(shell echo $* | tr 'A-Z' 'a-z')
build-%Function:
	cd functions/$(function) && CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) GOWORK=off \
	  go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '-s -w' -o "$(ARTIFACTS_DIR)/bootstrap" .

# ── Run one function ────────────────────────────────────────────────────────────────────────────────────────────────

FUNCTIONS := Extractor Partitioner Trainset Trainer Loader Recommender Api
# $(call logical_id,extractor) is ExtractorFunction.
logical_id = $(foreach f,$(FUNCTIONS),$(if $(filter $(1),$(shell echo $(f) | tr 'A-Z' 'a-z')),$(f)Function))
