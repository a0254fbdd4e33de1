# The front door. Each target sets up all that it needs, from a machine with only Python >= 3.11, git and make.
# `make test PYTHON=/path/to/python3.12` chooses the interpreter of a new environment, `make test SET=beam` the pinned
# requirements: requirements/beam.txt instead of core.txt, in an environment of their own.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$p" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
SET ?= core
VENV ?= $(if $(filter core,$(SET)),.venv,.venv-$(SET))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
WORKERS ?= auto
SEEDS ?= 10000
PEERS := .venv-peers

.PHONY: help demo test services integration sim nightly check docs bench peers lock clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(READY)  ## Hot items over ten million generated events, from Parquet files to Parquet files
	@ls data/bids/*.parquet >/dev/null 2>&1 || $(BIN)/streamflow run pipelines/generate_bids.py
	@$(BIN)/streamflow run pipelines/hot_items.py
	@$(BIN)/streamflow run pipelines/show_hot_items.py
	@echo "The hottest auction of every 2 seconds is in out/hot-items (Parquet), the bids are in data/bids"

test: $(READY)  ## All tests but the integration tier, doctests included
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not integration"

services: $(READY)  ## Install the real servers that integration tests start, each once (some minutes)
	@$(BIN)/python -m tests.services

integration: $(READY)  ## Tests that need a whole process, a fresh environment or a real service
	@$(BIN)/python -m pytest -q -m integration

sim: $(READY)  ## Ten thousand simulated jobs (SEEDS=...) in which everything goes wrong, with figures
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

nightly: $(READY)  ## Kill workers and coordinators of a real job 200 times: 0 lost, 0 doubled, and how long it takes
	@STREAMFLOW_KILLS=200 $(BIN)/python -m pytest -q -s tests/integration/test_kills.py

check: $(READY)  ## Linter, format, types, layers, and the examples of the docs
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/basedpyright --level warning
	@$(BIN)/lint-imports --no-cache > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@echo "ruff, mypy, basedpyright and import-linter found nothing"
	@$(MAKE) docs

docs: $(READY)  ## Run every example in the docs and follow every link between them
	@$(BIN)/python -m pytest -q tests/docs

bench: $(READY)  ## Benchmarks beside DuckDB and pyarrow: a table, and JSON in benchmarks/results/
	@$(BIN)/python -m benchmarks

peers: $(READY) $(PEERS)/.ready  ## Functions a row at a time beside Bytewax, in an environment of its own
	@STREAMFLOW_BYTEWAX=$(PEERS)/bin/python $(BIN)/python -m benchmarks.peers

lock: $(READY)  ## Resolve requirements/*.in again into hashed requirements/*.txt
	@for set in core data beam peers; do $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-annotate $$([ $$set = data ] && echo --no-deps) \
	  --output-file requirements/$$set.txt requirements/$$set.in; done

clean:  ## Remove the environment, caches and what the demo wrote
	@rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist data out

$(PEERS)/.ready: requirements/peers.txt
	@[ -x $(PEERS)/bin/python ] || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/peers.txt
	@touch $@

$(READY): requirements/$(SET).txt requirements/data.txt pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "No Python >= 3.11 found: install one, or run make PYTHON=/path/to/python3 ..."; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (once; about a minute)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/$(SET).txt
	@$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements/data.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
