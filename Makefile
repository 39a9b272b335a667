# millrace. `make` shows what there is.
.DEFAULT_GOAL := help

# The SAM CLI that `make up` installs, else the one on the PATH.
SAM ?= $(or $(wildcard .local/venv-sam/bin/sam),sam)
# The table of samconfig.toml: default is your AWS account, local is the emulated cloud.
STAGE ?= default

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {sub("%", "<function>", $$1); printf "  \033[1m%-20s\033[0m %s\n", $$1, $$2}' Makefile

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
event = $(or $(EVENT),$(firstword $(wildcard events/$(1)-*.json)),$(error no event for $(1): EVENT=file.json))

invoke-%: ## Run one function in Docker with its first events/<function>-*.json, or EVENT=file
	$(SAM) build $(call logical_id,$*) --build-dir .local/invoke \
	  --parameter-overrides Architecture=$(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
	$(SAM) local invoke $(call logical_id,$*) --config-file $(CURDIR)/samconfig.toml --template .local/invoke/template.yaml --event $(call event,$*)

logs-%: ## Follow the log of one function (STAGE=local: of the emulated cloud)
	$(SAM) logs --config-env $(STAGE) --name $(call logical_id,$*) --tail
