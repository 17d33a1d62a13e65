# The whole set-up is `make demo`, then `make test`.
#
#   make demo    environment, package, a first run on real digits, and where its page is
#   make test    every test but those that need a network, a GPU or minutes
#   make test-long  those that need minutes
#   make check   format, lint, types, import layers, fast tests
#   make test-peers  every loss that lightly or pytorch-metric-learning has too, beside theirs
#   make bench   time and memory beside other libraries (COUNTERPOINT_DATA=FOLDER with cifar10/ and mnist/)
#   make claims  every study at smoke scale, one seed: shows that each rule can still be computed, decides nothing
#   make wheel   build the wheel, install it into a clean environment, train with it
#   make clean   remove what the others made, runs/ excepted

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long test-peers check bench claims wheel clean

VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 demo` chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$p" && break; done)

help:
	@sed -n 's/^#   make/  make/p' Makefile

$(BIN)/python:
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "error: Python 3.11 or newer is needed, and none was found; install one, or name it: make PYTHON=/path/to/python3.12 demo" >&2; \
		exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make an environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip

# Stamps: what the package needs to run, and what its developers need besides.
$(VENV)/.package: pyproject.toml | $(BIN)/python
	@echo "installing counterpoint into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.package
	@echo "installing the developers' tools into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

demo: $(VENV)/.package
	@rm -rf $(DEMO)
	$(BIN)/counterpoint train simclr --source digits --out $(DEMO) --epochs 60 --batch-size 256 --max-time 55s
	@test -s $(DEMO)/report.html
	@echo "the page: $(CURDIR)/$(DEMO)/report.html"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not long and not network and not gpu"

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "long and not network and not gpu"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not long and not browser and not network and not gpu"

# Other libraries live beside the package only here: what `make bench` measures and `make test-peers` compares with, the
# latter in their newest versions each time.
test-peers: $(VENV)/.dev
	@$(BIN)/python -m pip install --quiet --upgrade --group peers
	$(BIN)/python -m pytest -m peers --require-peers

$(VENV)/.bench: $(VENV)/.package
	@echo "installing the peers of the benchmarks into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

SMOKE := runs/smoke
claims: $(VENV)/.dev
	@for study in $$($(BIN)/counterpoint study --list | cut -d ' ' -f 1); do \
		options=; if [ "$$study" = hyperseparability ]; then options="--option grids=true"; fi; \
		$(BIN)/counterpoint study "$$study" --scale smoke --seeds 1 $$options \
			--cells $(SMOKE)/cells --out "$(SMOKE)/studies/$$study" || exit $$?; \
	done
	@$(BIN)/counterpoint claims --studies $(SMOKE)/studies --out $(SMOKE)/claims.md

wheel: $(VENV)/.dev
	@rm -rf dist
	$(BIN)/python -m build --wheel
	.ci/wheel $(BIN)/python dist/*.whl

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
