# make demo: install and run the main job on the embedded data set.   make test: everything CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint types layers unit clean

demo: $(VENV)/.installed-demo
	$(BIN)/everbloom demo

test: lint types layers unit

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports

unit: $(VENV)/.installed-test
	$(BIN)/pytest

# The stamps keep a second call from installing again; they go stale when what they install changes.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("everbloom needs Python 3.11 or newer; give one with: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[test]'
	touch $@ $(VENV)/.installed-demo

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
