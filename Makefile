# make demo   install, then train, evaluate and plot every bottleneck on the embedded corpus
# make test   install, then run the tests
# make lint   style and types
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-system lint format clean

demo: $(INSTALLED)
	$(BIN)/onmt_lattice demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not system" $(ARGS)

test-system: $(INSTALLED)
	$(BIN)/python -m pytest -m system $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made once, and again only when what to install changes.
$(INSTALLED): setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
