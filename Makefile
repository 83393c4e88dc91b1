# make book: the site in _build/html. make test: everything that is checked. Both install what they need.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: book install test test-fast refresh check bench lock clean

book: install
	$(BIN)/moat build

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.11 or say PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

test: book
	$(BIN)/moat check
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope

# Without notebooks and browser: seconds, for work on the model.
test-fast: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope -m "not slow"

# Re-execute chapters with their defaults and store the outputs that the tests compare.
refresh: install
	$(BIN)/moat refresh $(CHAPTERS)

check: install
	$(BIN)/moat check

# Speed and accuracy beside other tools, which are installed into an environment of their own; minutes.
bench: install
	$(BIN)/python -m benchmarks --store

# Pin anew, from a clean environment, after a change of the dependencies in pyproject.toml.
lock:
	rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --disable-pip-version-check --upgrade ".[test]" "setuptools<81"
	{ sed -n '/^#/p' requirements.txt; _build/lock/bin/python -m pip freeze --all --exclude training-moat --exclude pip; } > _build/requirements.txt
	mv _build/requirements.txt requirements.txt && rm -rf _build/lock build

clean:
	rm -rf _build .pytest_cache .hypothesis
