# Everything a developer runs. `make` lists it. Each environment is built on first use from requirements/*.txt.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PORT ?= 4566
SEED ?= 1
COMMANDS ?= 1000
EVENTS ?= 200000
SECONDS ?= 60
USERS ?= 8
ROUNDS ?= 7
ONLY ?=
# One worker more than cores: a stack that is deployed or a process that starts keeps none busy.
SIDE_BY_SIDE := -n $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))) --dist loadfile --no-loadscope-reorder
UV := .tools/uv/bin/uv
VENV := .venv/.ready
SAM := .tools/sam/.ready
EMULATOR := .tools/emulator/.ready
CHECKOV := .tools/checkov/.ready
LOAD := .tools/load/.ready
PEERS := $(patsubst %,.tools/bench/%/.ready,aett eventsourcing pynamodb)
# castore is measured where Node.js is.
CASTORE := $(if $(shell command -v npm),benchmarks/castore/node_modules/.ready)
# `sam build` takes the first python3.13 on PATH, and runs `python -m pip` of it.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
export UV_NO_PROGRESS := 1
unexport VIRTUAL_ENV
# Where it is set, each start of a tool compiles all that it imports: seven seconds for the tests, more for the SAM CLI.
unexport PYTHONDONTWRITEBYTECODE

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

setup: $(VENV) $(SAM) $(EMULATOR) ## Install what run, demo and test need (they do it by themselves)

run: setup ## Start the whole stack on this machine: PORT=4566; Ctrl-C stops it
	@python -m local.run --port $(PORT)

demo: setup ## Run the stack unattended, put it through its paces, check everything, stop it
	@python -m local.demo

test: setup ## Run all tests, the deployed stack among them
	@python -m pytest -q $(SIDE_BY_SIDE)

coverage: setup ## Run all tests, and say which lines and branches none of them runs
	@python -m pytest -q $(SIDE_BY_SIDE) --cov --cov-report=term

check: lint ## Lint, and what AWS documents about the template, as tests
	@python -m pytest -q -m aws -p no:cacheprovider --disable-warnings

lint: setup $(CHECKOV) ## Lint, format, types, import rules, template
	@ruff check .
	@ruff format --check -q .
	@mypy
	@lint-imports --no-logo 2>/dev/null || lint-imports
	@cfn-lint template.yaml
	@.tools/checkov/bin/checkov -f template.yaml >/dev/null || .tools/checkov/bin/checkov -f template.yaml
	@.tools/sam/bin/python local/transformed.py
	@.tools/sam/bin/sam validate --lint --region eu-west-1 >/dev/null && echo "template.yaml: valid"

chaos: $(VENV) ## Send commands under every fault and trouble there is, then check every promise: SEED=1 COMMANDS=1000
	@python -m drills.chaos --seed $(SEED) --commands $(COMMANDS)

rebuild-drill: setup ## Rebuild a read model under load on the local stack, check every row: EVENTS=200000
	@python -m drills.rebuild --events $(EVENTS)

load: setup $(LOAD) ## Put the local stack under load over HTTP, measure, recount everything: SECONDS=60 USERS=8
	@python -m benchmarks.load --seconds $(SECONDS) --users $(USERS)

contention: setup ## Count what lost races cost as writers meet, in one stream and over several
	@python -m benchmarks.contention

scale: $(VENV) ## Reckon where the deployed shape ends, up to 1,000,000 commands a second, and what it costs
	@python -m benchmarks.scale

bench: setup $(PEERS) $(CASTORE) ## Measure eventfold beside its peers: CPU, requests, capacity, dollars: ROUNDS=7 ONLY=A,B
	@python -m benchmarks.main --rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY))

fuzz: setup ## Throw 5,000 requests at the API, made up from its own description
	@python -m pytest -q tests/fuzz --hypothesis-profile=fuzz

openapi: $(VENV) ## Write docs/openapi.json anew from the routes
	@python -m local.openapi

golden: $(VENV) ## Write the golden files of events that are missing, from tests/golden/*/examples.json
	@python -m local.golden

build: $(VENV) $(SAM) ## Build for AWS (arm64), as `sam build` does
	@.tools/sam/bin/sam build

deploy: build ## Deploy to your AWS account, with the `default` profile of samconfig.toml
	@.tools/sam/bin/sam deploy

lock: $(UV) ## Compile requirements/*.in and the layer's, with hashes
	@for name in layers/dependencies/requirements requirements/uv requirements/sam requirements/emulator requirements/checkov requirements/load requirements/bench-aett requirements/bench-eventsourcing requirements/bench-pynamodb requirements/dev; do \
	  echo "$$name.txt"; \
	  $(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" $(UPGRADE) $$name.in -o $$name.txt; \
	done

clean: ## Forget the local stack's data, builds and caches
	@rm -rf .local .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@echo "Forgot the local stack's data and builds. Environments stay: rm -rf .venv .tools .cache removes them too."

$(UV): requirements/uv.txt
	@echo "Installing uv into .tools/uv"
	@python3 -m venv .tools/uv || { echo "Python can't make virtual environments here. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@.tools/uv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV): $(UV) requirements/dev.txt pyproject.toml
	@echo "Installing the project's environment into .venv"
	@[ -x .venv/bin/python ] || $(UV) venv -q --python "$$(local/find-python)" .venv
	@$(UV) pip sync -q --python .venv --require-hashes requirements/dev.txt
	@$(UV) pip install -q --python .venv --no-deps --no-build-isolation -e .
	@touch $@

$(SAM): requirements/sam.txt | $(VENV)
	@echo "Installing the SAM CLI into .tools/sam"
	@[ -x .tools/sam/bin/python ] || $(UV) venv -q --python .venv/bin/python .tools/sam
	@$(UV) pip sync -q --python .tools/sam --require-hashes requirements/sam.txt
	@touch $@

$(EMULATOR): requirements/emulator.txt | $(VENV)
	@echo "Installing the emulator into .tools/emulator"
	@[ -x .tools/emulator/bin/python ] || $(UV) venv -q --python .venv/bin/python .tools/emulator
	@$(UV) pip sync -q --python .tools/emulator --require-hashes requirements/emulator.txt
	@touch $@

$(CHECKOV): requirements/checkov.txt | $(VENV)
	@echo "Installing checkov into .tools/checkov"
	@[ -x .tools/checkov/bin/python ] || $(UV) venv -q --python .venv/bin/python .tools/checkov
	@$(UV) pip sync -q --python .tools/checkov --require-hashes requirements/checkov.txt
	@touch $@

$(LOAD): requirements/load.txt | $(VENV)
	@echo "Installing the load tool into .tools/load"
	@[ -x .tools/load/bin/python ] || $(UV) venv -q --python .venv/bin/python .tools/load
	@$(UV) pip sync -q --python .tools/load --require-hashes requirements/load.txt
	@touch $@

.tools/bench/%/.ready: requirements/bench-%.txt | $(VENV)
	@echo "Installing the peer $* into .tools/bench/$*"
	@[ -x .tools/bench/$*/bin/python ] || $(UV) venv -q --python .venv/bin/python .tools/bench/$*
	@$(UV) pip sync -q --python .tools/bench/$* --require-hashes requirements/bench-$*.txt
	@touch $@

benchmarks/castore/node_modules/.ready: benchmarks/castore/package-lock.json
	@echo "Installing the peer castore into benchmarks/castore/node_modules"
	@cd benchmarks/castore && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: help setup run demo test coverage check lint chaos rebuild-drill load contention scale bench fuzz openapi golden build deploy lock clean
