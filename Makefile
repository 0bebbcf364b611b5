# make demo         recordings in, an interpretable answer out (PTBXL=DIR for real ones)
# make test         lint and all tests
# make test-fast    the tests without the slow ones: some two to three minutes
# make test-device  the tests of devices, on DEVICE=cuda, xpu, mps or cpu
# make test-floors  all tests with the oldest versions that setup.py allows (PYTHON310=PATH)
# make lint         ruff and mypy
# make types        mypy alone
# make format       let ruff correct what it can
# make docs         the site, in docs/_build/html
# make dist         sdist and wheel, in dist
# All make their own virtual environment in .venv (test-floors: in .venv-floors) first.

PYTHON ?= python3
PYTHON310 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python) python3.10)
BIN := .venv/bin
FLOORS ?= .venv-floors
# Extras of setup.py whose oldest versions are installed as well.
FLOORS_EXTRAS ?= test
PYTEST := -m pytest -q --durations=15 -n 2 --dist loadfile --no-loadscope-reorder
OUT ?= demo-output
DEVICE ?= cpu
PTBXL ?=

.PHONY: demo test test-fast test-device test-floors docs lint types format dist install clean

demo: install
	$(BIN)/ecgsk demo $(if $(PTBXL),--ptbxl "$(PTBXL)") --out "$(OUT)"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

test-fast: install
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -m "not slow and not real_data"

test-device: install
	ECGSK_TEST_DEVICE=$(DEVICE) $(BIN)/python -m pytest -q -m real_device

test-floors:
	test -x $(FLOORS)/bin/python || $(PYTHON310) -m venv $(FLOORS)
	$(FLOORS)/bin/python tests/_floors.py $(FLOORS_EXTRAS) > $(FLOORS)/floors.txt
	$(FLOORS)/bin/pip install --quiet -r $(FLOORS)/floors.txt
	$(FLOORS)/bin/pip install --quiet --no-build-isolation --no-deps -e .
	OMP_NUM_THREADS=1 $(FLOORS)/bin/python $(PYTEST)

docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

lint: install types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy ecgsk

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: install
	rm -rf build dist
	$(BIN)/python setup.py --quiet sdist bdist_wheel

install: .venv/.installed

.venv/.installed: setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv $(FLOORS) .data $(OUT) build dist *.egg-info docs/_build docs/auto_examples docs/generated
