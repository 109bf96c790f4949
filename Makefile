# Everything a developer or a visitor runs. Needs Python 3.11 or newer, make and git; each target
# first creates .venv and installs the pinned packages into it where that has not been done yet.

PYTHON ?= python3
OUT ?= demo-output

BIN := .venv/bin
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.docs-installed
BROWSER_INSTALLED := .venv/.browser-installed
CLIENTS_TRIED := .venv/.clients-tried
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CODE := src tests tools benchmarks examples

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-browser lint format bench bench-training docs reference clean

help: ## Say what the targets do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) \
	  | while IFS='|' read -r target text; do printf '%-18s %s\n' "$$target" "$$text"; done

demo: $(INSTALLED) ## From a few labelled slices to scores and meshes, into OUT=demo-output
	$(BIN)/voxloop demo --out "$(OUT)"

test: $(INSTALLED) $(CLIENTS_TRIED) ## Run the tests that take minutes in all
	$(BIN)/python -m pytest

test-slow: $(INSTALLED) ## Run the tests that take minutes each
	$(BIN)/python -m pytest -m slow

test-browser: $(BROWSER_INSTALLED) ## Play sessions in the page with the system's Chromium
	$(BIN)/python -m pytest -m browser tests/serve/browser

lint: $(INSTALLED) ## Check style, format and types
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

format: $(INSTALLED) ## Bring the code into the project's format
	$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(INSTALLED) ## Time what a change may slow down, half an hour; into benchmarks/results
	$(BIN)/python benchmarks/metrics/speed.py
	$(BIN)/python benchmarks/active/selection_scaling.py
	$(BIN)/python benchmarks/inference/full_ct.py
	$(BIN)/python benchmarks/inference/growth.py
	$(BIN)/python benchmarks/inference/engines.py
	$(BIN)/python benchmarks/mesh/big.py

bench-training: $(INSTALLED) ## Train the grid of benchmarks/training, hours in all, resumable
	$(BIN)/python benchmarks/training/run.py

docs: $(DOCS_INSTALLED) ## Build the documentation into site
	$(BIN)/zensical build --clean --strict

reference: $(INSTALLED) ## Write the generated pages of docs/reference anew
	$(BIN)/python tools/generate_reference.py

clean: ## Remove whatever the other targets made, .venv included
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache build dist site demo-output
	find src tests tools benchmarks examples -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Voxloop needs Python 3.11 or newer, but '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>/dev/null || echo not there);" \
	    "name another, e.g.: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "cannot create .venv; on Debian and Ubuntu run: apt install python3-venv" >&2; exit 1; }

$(INSTALLED): requirements/lock.txt pyproject.toml | .venv/bin/python
	@echo "Installing the pinned packages into .venv (once, a few minutes)"
	@$(PIP) install --requirement requirements/lock.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS_INSTALLED): requirements/docs.txt $(INSTALLED)
	@$(PIP) install --requirement requirements/docs.txt
	@touch $@

$(BROWSER_INSTALLED): requirements/browser.txt $(INSTALLED)
	@$(PIP) install --requirement requirements/browser.txt
	@touch $@

$(CLIENTS_TRIED): requirements/clients.txt $(INSTALLED)
	@$(PIP) install --no-deps --requirement requirements/clients.txt \
	  || echo "The published MONAI Label client cannot be had here; its tests are skipped" >&2
	@touch $@
