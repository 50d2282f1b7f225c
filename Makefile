# Each target sets up what it needs in .venv and does nothing twice: what has been installed is
# remembered in .venv/.stamps, and a change of pyproject.toml makes the stamps stale.
# uv is used when it is on PATH, else venv and pip.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PARTS  := actors circuits notifier telemetry
LINKS  := $(PARTS:%=src/brama/%)

UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := uv pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
endif

# The tools see what .venv holds, and nothing that the caller's shell had activated.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test soak conformance check lint types floors ledger docs bench bench-quick bench-gate clean

help:
	@echo "make demo    watch connections being guarded, opened, probed and healed (20 s)"
	@echo "make test    run the tests (one of them: make test ARGS='tests/house -k wheel')"
	@echo "make soak    run the long tests: load, kills, real waits (about ten minutes)"
	@echo "make conformance  run pykka's own test suite on Brama's actors"
	@echo "make check   lint, format, types, floors, requirement ledger, documentation"
	@echo "make bench   measure against the peers (5 min; bench-quick: 1 min); ARGS=--publish writes the docs"
	@echo "make bench-gate  hold the hot paths to their budgets, by instructions where Valgrind is there"
	@echo "make docs    build the documentation into docs/_build"
	@echo "make clean   remove what these targets made"

demo: $(STAMPS)/brama
	$(BIN)/brama demo $(ARGS)

# In the order of tests/conftest.py: xdist's own, by the number of tests, has the long files of few
# tests at the end.
test: $(STAMPS)/brama $(STAMPS)/dev
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

# Some take minutes, and Python's look at threads that run while it looks has crashed one of them.
soak: $(STAMPS)/brama $(STAMPS)/dev
	$(BIN)/pytest -m 'soak or hypothesis' -o faulthandler_timeout=1200 $(ARGS)

conformance: $(STAMPS)/brama $(STAMPS)/dev $(STAMPS)/conformance
	PYTHONPATH=tools $(BIN)/python -m conformance $(ARGS)

check: lint types floors ledger docs

lint: $(STAMPS)/dev $(LINKS)
	$(BIN)/ruff check .
	$(BIN)/ruff check --select TID251 $(LINKS:%=%/)
	$(BIN)/ruff format --check .

types: $(STAMPS)/brama $(STAMPS)/dev $(LINKS)
	$(BIN)/mypy
	$(BIN)/mypy examples tools tests/typing
	$(BIN)/pyright

floors: $(STAMPS)/brama $(STAMPS)/dev $(LINKS)
	$(BIN)/lint-imports

ledger: $(STAMPS)/dev
	PYTHONPATH=tools $(BIN)/python -m ledger

docs: $(STAMPS)/brama $(STAMPS)/docs
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -d docs/_build/doctrees docs docs/_build/html

bench: $(STAMPS)/brama $(STAMPS)/bench
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(STAMPS)/brama $(STAMPS)/bench
	$(BIN)/python -m bench --quick $(ARGS)

bench-gate: $(STAMPS)/brama $(STAMPS)/bench
	$(BIN)/python -m bench.gate

clean:
	rm -rf $(VENV) build dist docs/_build src/*.egg-info *.egg-info .coverage \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Brama needs Python >= 3.11, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
ifdef UV
	uv venv --quiet --clear --python "$$(command -v $(PYTHON))" $(VENV)
else
	$(PYTHON) -m venv --clear $(VENV)
	@# the first pip that installs dependency groups
	$(INSTALL) --upgrade 'pip>=25.1'
endif
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/brama: pyproject.toml | $(STAMPS)/venv
	$(INSTALL) --editable '.[cli]'
	@touch $@

$(STAMPS)/dev $(STAMPS)/docs $(STAMPS)/bench $(STAMPS)/conformance: $(STAMPS)/%: pyproject.toml | $(STAMPS)/venv
	$(INSTALL) --group $*
	@touch $@

# An archive may have been packed without the links.
$(LINKS): src/brama/%:
	rm -f $@ && ln -s ../../$* $@
