# make demo: install and run the main job on the embedded data set.   make test: everything CI checks.   make docs: the site.
# make bench: measure against other engines, each in an environment of its own; hours of nothing else on the machine give the best numbers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

# make e2e: a fleet of six devices behind a proxy, killed here and there; wants nginx, twenty minutes and some 6 GB.
.PHONY: demo test lint types layers unit docs e2e bench clean

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

docs: $(VENV)/.installed-test
	$(BIN)/mkdocs build --strict

e2e: $(VENV)/.installed-test
	$(BIN)/pytest -m fleet -v -rP tests/fleet

# An engine that cannot be installed is left out, and the results say so.
bench: $(VENV)/.installed-demo
	-$(MAKE) --no-print-directory .venv-bench-ray/.installed
	-$(MAKE) --no-print-directory .venv-bench-pfl/.installed
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.scaling

.venv-bench-ray/.installed: benchmarks/requirements-ray.txt constraints.txt
	$(PYTHON) -m venv .venv-bench-ray
	.venv-bench-ray/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r $<
	.venv-bench-ray/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# pfl wants an older dp-accounting and what that one needs.
.venv-bench-pfl/.installed: benchmarks/requirements-pfl.txt constraints.txt
	$(PYTHON) -m venv .venv-bench-pfl
	grep -vE '^(dp-accounting|attrs|mpmath|dm-tree|absl-py)==' constraints.txt > .venv-bench-pfl/constraints.txt
	.venv-bench-pfl/bin/pip install --quiet --disable-pip-version-check -c .venv-bench-pfl/constraints.txt -r $<
	.venv-bench-pfl/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

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
	rm -rf $(VENV) .venv-bench-ray .venv-bench-pfl build dist site .mypy_cache .ruff_cache .pytest_cache
