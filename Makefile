# make book: the site in _build/html. make test: everything that is checked. Both install what they need.
# The first of these that runs here; PYTHON=/path/to/python takes another.
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c '$(SUITS)' >/dev/null 2>&1 && echo $$name && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
# A module's tests stay together, for what they share; the order is conftest.py's, the longest first.
SPREAD := --dist loadscope --no-loadscope-reorder

.PHONY: book install test test-fast refresh check bench lock pdf release clean

book: install
	$(BIN)/moat build

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUITS)' >/dev/null 2>&1 || { \
	  echo "make: Python 3.11 to 3.14 is needed$(if $(PYTHON), and $(PYTHON) is none of them); install one or say PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

test: book check
	$(BIN)/python -m pytest -n $(JOBS) $(SPREAD)

# Without notebooks and browser: minutes, for work on the model.
test-fast: install
	$(BIN)/python -m pytest -n $(JOBS) $(SPREAD) -m "not slow"

# Re-execute chapters with their defaults and store the outputs that the tests compare.
refresh: install
	$(BIN)/moat refresh $(CHAPTERS)

check: install
	$(BIN)/moat check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Speed and accuracy beside other tools, which are installed into an environment of their own; minutes.
bench: install
	$(BIN)/python -m benchmarks --store

# Newer ones ask for Python 3.11.5; Debian 12 has 3.11.2.
HELD_BACK := "soupsieve<3"

# Pin anew, from a clean environment, after a change of the dependencies in pyproject.toml.
lock:
	rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --disable-pip-version-check --upgrade ".[test]" "setuptools<81" $(HELD_BACK)
	{ sed -n '/^#/p' requirements.txt; _build/lock/bin/python -m pip freeze --all --exclude training-moat --exclude pip; } > _build/requirements.txt
	mv _build/requirements.txt requirements.txt && rm -rf _build/lock build

# The whole book as one file, printed by Chromium page by page; it is left out of a release, whose bytes are the same everywhere.
pdf: book
	$(BIN)/python tools/pdf.py

# Wheel, source, site, data package and checksums of the commit that is checked out, the same bytes on every run.
release: install
	$(BIN)/python tools/release.py dist

clean:
	rm -rf _build dist .pytest_cache .hypothesis
