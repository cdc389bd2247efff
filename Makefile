# make demo         install, then train, quantize, evaluate and plot models of the embedded corpus
# make test         install, then run the tests
# make test-latest  types and tests with the newest versions that setup.py admits
# make test-oldest  that frozen streams decode with the oldest torch and numpy that setup.py admits
# make lint         style and types
# make size         lines and files by room
# make lock         write requirements.lock; with UPGRADE=--upgrade, in those newest versions
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu installs a torch without its libraries for GPUs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
LATEST ?= build/latest
OLDEST := build/oldest
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
OPENNMT := --no-deps $(shell grep -o 'OpenNMT-py==[0-9.]*' setup.py)

export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-system test-latest latest test-oldest lint size format \
	supported lock clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/onmt_lattice demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not system" $(ARGS)

test-system: $(INSTALLED)
	$(BIN)/python -m pytest -m system $(ARGS)

test-latest: latest
	$(LATEST)/bin/mypy
	$(LATEST)/bin/python -m pytest -m "not system" $(ARGS)

latest: $(INSTALLED)
	UV_PROJECT_ENVIRONMENT=$(LATEST) $(BIN)/uv sync --quiet --upgrade --extra test --python $(PYTHON)

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

size:
	@git ls-files 'onmt_lattice/*.py' scripts 'tests/*.py' | xargs wc -l | sed '$$d' | awk '{ \
		n = split($$2, part, "/"); room = part[1] (n > 2 ? "/" part[2] : ""); \
		lines[room] += $$1; files[room]++; all += $$1 } END { \
		for (room in lines) printf "%6d lines %4d files  %s\n", lines[room], files[room], room; \
		printf "%6d lines in all\n", all }' | sort -k 5

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made once, and again only when what to install changes.
$(INSTALLED): setup.py requirements.lock | supported
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python $(PIP_INSTALL) --no-deps --index-url $(TORCH_INDEX) \
		$(shell grep '^torch==' requirements.lock))
	$(BIN)/python $(PIP_INSTALL) -r requirements.lock
	$(BIN)/python $(PIP_INSTALL) $(OPENNMT)
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

# Checked before anything is downloaded. Without ensurepip venv makes half an environment; Debian and
# Ubuntu have it in a package of its own.
supported:
	@$(PYTHON) -c 'import sys; from importlib.util import find_spec; \
		python = f"{sys.executable} is Python {sys.version.split()[0]}"; \
		(3, 10) <= sys.version_info < (3, 15) or sys.exit(f"{python}, expected 3.10 to 3.14: " \
			"name one of these, as in make PYTHON=python3.13"); \
		find_spec("ensurepip") or sys.exit(f"{python} without ensurepip, which venv needs: " \
			"on Debian and Ubuntu, apt install python{}.{}-venv".format(*sys.version_info))'

# One line a package, for every Python and platform. What torch brings for GPUs is left out: torch
# itself says which, exactly, and builds for the CPU need none of these gigabytes. Triton stays, in
# the version that torch asks for: tests need it on any machine.
lock: $(INSTALLED)
	mkdir -p build
	cp requirements.lock build/resolved.txt
	$(BIN)/uv pip compile setup.py --extra test --universal --python-version 3.10 --quiet \
		--no-config --no-annotate --no-header --output-file build/resolved.txt $(UPGRADE)
	printf '%s\n' \
		'# The exact versions that make demo, make test and CI install, for Python 3.10 to 3.14.' \
		'# Made by make lock: "uv pip compile --universal" on setup.py with its extra "test", less' \
		'# the packages that a torch for GPUs brings itself (cuda-*, nvidia-*).' \
		| cat - build/resolved.txt | grep -vE '^(cuda|nvidia)-' > build/requirements.lock
	mv build/requirements.lock requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
