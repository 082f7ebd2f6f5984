# Two commands do all set-up: `make demo` and `make test`. Both build .venv once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MIN_MINOR := 11

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint bench readme notebooks clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Rebuilt when a dependency or a pin changes; a half-finished install leaves no stamp.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "biojepa needs Python 3.$(MIN_MINOR) or newer, but there is no '$(PYTHON)': install it," \
			"or name one with 'make PYTHON=/path/to/python3.$(MIN_MINOR) ...'" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, $(MIN_MINOR)))' || { \
		echo "biojepa needs Python 3.$(MIN_MINOR) or newer, but '$(PYTHON)' is" \
			"$$($(PYTHON) --version 2>&1): name another with" \
			"'make PYTHON=/path/to/python3.$(MIN_MINOR) ...'" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) 2>/dev/null \
		|| { rm -rf $(VENV) && $(PYTHON) -m pip install --quiet --target build/virtualenv virtualenv \
		&& PYTHONPATH=build/virtualenv $(PYTHON) -m virtualenv --quiet $(VENV); } || { \
		echo "'$(PYTHON)' cannot make virtual environments (it has no venv module, and virtualenv" \
			"could not be installed with pip): install one (Debian, Ubuntu: apt install" \
			"python3-venv), or name another with 'make PYTHON=...'" >&2; exit 1; }
	@echo "installing biojepa and its tested dependencies into $(VENV) (a few minutes, once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,moabb,fmri]" -c constraints.txt
	@touch $(READY)

setup: $(READY)  ## create .venv and install biojepa with its tested dependencies

demo: $(READY)  ## pretrain, embed and classify simulated ECGs, with pictures
	$(BIN)/biojepa demo

test: $(READY)  ## the whole suite with ruff and mypy (not: gpu, benchmark)
	$(BIN)/python -m pytest -m "not gpu and not benchmark"

test-fast: $(READY)  ## the suite without the slow tests
	$(BIN)/python -m pytest -m "not slow and not gpu and not benchmark"

lint: $(READY)  ## ruff and mypy alone
	$(BIN)/python -m pytest tests/test_quality.py

bench: $(READY)  ## speed and memory ratios (leave the machine alone meanwhile)
	$(BIN)/python -m tests.benchmarks

readme: $(READY)  ## write the numbers of README and docs from results/*.json
	$(BIN)/python docs/render_numbers.py

notebooks: $(READY)  ## execute the notebooks and write each as .ipynb with its pictures
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[notebooks]" -c constraints.txt
	cd notebooks && $(abspath $(BIN))/jupytext --to ipynb --set-kernel python3 --execute *.py

clean:  ## remove caches and builds (not .venv, not runs)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
