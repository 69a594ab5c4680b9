# Everything below sets itself up: a Python >= 3.11 is all that is needed.
#   make demo    business system and platform, and everything that can go wrong in between
#   make test    all checks and tests (with Debian's xmlsec1 and xmllint, which it installs if it may)
#   make bench   speed, beside a floor taken in the same run (needs Debian's wrk)
#   make search  the inputs that cost a receiver the most (two minutes; SECONDS=600 for longer)
#   make docs    the documentation as HTML in build/docs

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint unit xmlsec1 xmllint bench search docs diagrams clean

# One stamp per set of packages, so that each target installs only what it needs.
$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[fast]'
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(INSTALL) -e '.[fast,test,lint,docs]'
	touch $@

demo: $(VENV)/.base
	$(BIN)/python examples/demo/run.py

test: lint unit

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.test xmlsec1 xmllint
	$(BIN)/pytest -n auto

# Signatures are checked against an implementation that is not ours.
xmlsec1:
	@command -v xmlsec1 >/dev/null \
	  || { apt-get update -q && apt-get install -y --no-install-recommends xmlsec1; } \
	  || { echo "xmlsec1 is missing; install it with: apt-get install xmlsec1" >&2; exit 1; }

# And schemas by the program that most people use.
xmllint:
	@command -v xmllint >/dev/null \
	  || { apt-get update -q && apt-get install -y --no-install-recommends libxml2-utils; } \
	  || { echo "xmllint is missing; install it with: apt-get install libxml2-utils" >&2; exit 1; }

bench: $(VENV)/.base
	$(BIN)/python -m tests.bench.run

search: $(VENV)/.test
	$(BIN)/python -m tests.security.search_bounds $(SECONDS)

diagrams: $(VENV)/.test
	$(BIN)/python docs/make_diagrams.py

docs: $(VENV)/.test
	$(BIN)/sphinx-build -W --keep-going -b html docs build/docs

clean:
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
