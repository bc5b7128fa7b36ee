# The front door of a clone. `make demo` sees a model learn; `make test` checks everything.
PYTHON ?= python3
VENV := .venv
JOBS ?= 2
BIN := $(VENV)/bin
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1

.PHONY: help demo test lint docs notebooks clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    install into $(VENV) and watch three methods teach a tiny model to add"
	@echo "make test    install into $(VENV) and run linters, types, layers and all tests"
	@echo "make lint    linters, types and layers alone"
	@echo "make docs    build the documentation as a site, in build/site"
	@echo "make notebooks   execute the notebooks of docs/notebooks anew"
	@echo "make clean   remove $(VENV) and caches"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Thinkery needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and by itself: a range that admits only these releases finds a CPU build where there is one
$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check 'torch>=2.9,<2.14'
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/thinkery demo

lint: $(VENV)/installed-dev
	$(BIN)/ruff check src tests examples benchmarks docs
	$(BIN)/ruff format --check src tests examples benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

docs: $(VENV)/installed-dev
	$(BIN)/python docs/site/build.py

notebooks: $(VENV)/installed-dev
	$(BIN)/python docs/notebooks/run.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
