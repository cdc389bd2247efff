# make demo         install, then train, evaluate and plot every bottleneck on the embedded corpus
# make test         install, then run the tests
# make test-latest  the tests with the newest versions that setup.py admits, if not the lock's
# make test-oldest  that frozen streams decode with the oldest torch and numpy that setup.py admits
# make lint         style and types
# make lock         write those newest versions to requirements.lock
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
LATEST := build/latest
OLDEST := build/oldest
UV := build/uv
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-system test-latest test-oldest lint format supported lock clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/onmt_lattice demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not system" $(ARGS)

test-system: $(INSTALLED)
	$(BIN)/python -m pytest -m system $(ARGS)

test-latest: supported
	$(PYTHON) -m venv --clear $(LATEST)
	$(LATEST)/bin/python $(PIP_INSTALL) '.[test]'
	$(LATEST)/bin/python -m pip install --dry-run --no-deps -r requirements.lock > build/drift.txt
	@if grep '^Would install' build/drift.txt; then \
		$(LATEST)/bin/python -m pytest -m "not system" $(ARGS); \
	else echo 'The newest versions are those of requirements.lock.'; fi

# Also the oldest numba and constriction: these four are all that could change what a stream holds.
test-oldest: supported
	$(PYTHON) -m venv --clear $(OLDEST)
	sed -nE 's/^ *"(torch|numpy|numba|constriction)>=([0-9.]+).*/\1==\2/p' setup.py \
		> $(OLDEST)/versions.txt
	$(OLDEST)/bin/python $(PIP_INSTALL) --constraint $(OLDEST)/versions.txt . pytest hypothesis
	$(OLDEST)/bin/python -m pytest tests/test_golden_*.py $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made once, and again only when what to install changes.
$(INSTALLED): setup.py requirements.lock | supported
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) -r requirements.lock
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

# Said before anything is downloaded.
supported:
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info < (3, 13) or sys.exit( \
		f"{sys.executable} is Python {sys.version.split()[0]}, expected 3.10 to 3.12: " \
		"name one of these, as in make PYTHON=python3.12")'

# One line a package, for every Python and platform. What torch brings for GPUs is left out: torch
# itself says which, exactly, and builds for the CPU need none of these gigabytes. Triton stays, in
# the version that torch asks for: tests need it on any machine.
lock:
	$(PYTHON) -m venv --clear $(UV)
	$(UV)/bin/python $(PIP_INSTALL) uv
	rm -f build/resolved.txt
	$(UV)/bin/uv pip compile setup.py --extra test --universal --python-version 3.10 --quiet \
		--no-annotate --no-header --output-file build/resolved.txt
	printf '%s\n' \
		'# The exact versions that make demo, make test and CI install, for Python 3.10 to 3.12.' \
		'# Made by make lock: "uv pip compile --universal" on setup.py with its extra "test", less' \
		'# the packages that a torch for GPUs brings itself (cuda-*, nvidia-*).' \
		| cat - build/resolved.txt | grep -vE '^(cuda|nvidia)-' > build/requirements.lock
	mv build/requirements.lock requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
