# make demo   recordings in, an interpretable answer out (PTBXL=DIR for real ones)
# make test   lint and all tests
# make docs   the site, in docs/_build/html
# All make their own virtual environment in .venv first.

PYTHON ?= python3
BIN := .venv/bin
OUT ?= demo-output
PTBXL ?=

.PHONY: demo test docs lint format install clean

demo: install
	$(BIN)/ecgsk demo $(if $(PTBXL),--ptbxl "$(PTBXL)") --out "$(OUT)"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --durations=15 -n 2 --dist loadfile

docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: .venv/.installed

.venv/.installed: setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv .data $(OUT) build *.egg-info docs/_build docs/auto_examples docs/generated
