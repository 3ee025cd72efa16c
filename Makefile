# A fresh machine needs Python 3.11 or newer (with venv and pip) and make; each target sets up the rest.

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

# Run each candidate: a launcher can exist and still refuse to start.
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13; do \
	if $$p $(NEW_ENOUGH) 2>/dev/null; then echo $$p; break; fi; done)
endif

# The stamp is keyed on content, so a fresh checkout of the same files installs nothing again.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
STAMP := $(VENV)/.installed-$(KEY)

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile

demo: $(STAMP) ## Adapt the built-in model to the built-in data; the result is in runs/demo.
	@if [ -f runs/demo/config.json ]; then set -x; $(BIN)/parsimony adapt --resume runs/demo; else set -x; \
		$(BIN)/parsimony adapt minilm stdlib-docs --limit 1200 --window 32 --batch 8 \
			--budget "trainable=0.5%, time=10min" --out runs/demo; fi

test: $(STAMP) ## Run every test.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## Check style, types, and that what is generated in the docs is current.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/readme_tree.py --check
	$(BIN)/python tools/commands.py --check
	$(BIN)/python tools/ledger_table.py --check

bench: $(STAMP) ## Run every benchmark beside its peer.
	@set -e; for file in $(or $(sort $(wildcard benchmarks/[a-z]*.py)),$(error benchmarks/ is empty)); do \
		echo "== $$file"; $(BIN)/python $$file; done

clean: ## Remove the environment, caches and builds; runs/ stays.
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) $(NEW_ENOUGH); then \
		echo "parsimony needs Python 3.11 or newer, but found: $(or $(PYTHON),none). Name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[all,dev]'
	@rm -f $(VENV)/.installed-* && touch $@
