PYTHON ?= python3
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
READY := .venv/ready
# What Python takes from its surroundings when it starts, no test can set; the rest tests/support/surroundings.py does.
PYTEST = python -E -X utf8 $(MEASURED) -m pytest
# `coverage` sets MEASURED to this. What only child processes run counts as not reached.
MEASURING := MEASURED="-m coverage run --parallel-mode"
# Where a fault would cost most: the tests reach at least 95 percent of each.
REACHED := format engine workers dropin
# Minor versions of other CPythons; the tests run on those that are installed, with 3.12 in odd
# surroundings.
OTHERS := 12 13 14 15
SELECTED ?= -m "not slow"
SELECTED_OTHERS ?= -m "not slow and not once"

.PHONY: help demo test test-all proofs damaged check unit unit-dropin unit-remote unit-rest odd dev coverage pexes pexes-first pexes-rest bench targets figures drawing neighbours readers fuzz audit dist clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## set up, build a real PEX fast and run it
	mkdir -p demo
	$(BIN)/parazip pex numpy scipy pandas -o demo/science.pex
	ls -l demo/science.pex
	PEX_ROOT=demo/pex_root $(BIN)/python demo/science.pex -c "import numpy, scipy, pandas; print('runs, with numpy', numpy.__version__, 'scipy', scipy.__version__, 'pandas', pandas.__version__)"

# The tests take two cores, and as they often wait for a disk or a program, three lanes, the longest
# first.
# Other Pythons leave out what is marked "once"; `make test-all` does not. GNU make 3.81, which macOS
# has, cannot keep their outputs apart.
test: $(READY)  ## set up, then every check and test, on every Python at hand
	@$(MAKE) --no-print-directory -j3 $(if $(filter output-sync,$(.FEATURES)),-Otarget) unit-rest $(addprefix other-,$(OTHERS)) unit-dropin unit-remote pexes-first pexes-rest check

test-all: check  ## the same, but other Pythons run all tests, too
	@$(MAKE) --no-print-directory SELECTED= SELECTED_OTHERS= pexes unit $(addprefix other-,$(OTHERS))

# Builds of PEXes killed at many more places, calls interrupted at more instructions, damaged archives
# by the thousands, the tests in odd surroundings and in development mode, and what else takes long.
proofs: $(READY) odd dev damaged  ## what is slow: odd surroundings, each warning an error, damaged archives, builds killed at many places
	PARAZIP_KILLS=50 $(BIN)/$(PYTEST) tests/pex/test_whole.py tests/dropin/test_interrupts.py
	PARAZIP_KILLS=170 $(BIN)/$(PYTEST) -m slow --ignore=tests/dropin/test_damaged.py

# Damaged archives, by the Python of .venv and by those that `make test` has set up.
damaged: $(READY)  ## thousands of damaged archives, read in every way beside zipfile
	$(BIN)/$(PYTEST) tests/dropin/test_damaged.py
	@for python in .venv/other-3.*/bin/python; do \
	  test ! -x $$python || $$python -m pytest -q tests/dropin/test_damaged.py || exit 1; \
	done

check: $(READY)  ## ruff, mypy and import-linter alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the servers of tests/remote keep in memory would slow down all tests behind them.
unit: unit-dropin unit-remote unit-rest  ## the tests but those of PEXes, on one Python
unit-dropin: $(READY)
	$(BIN)/$(PYTEST) tests/dropin $(SELECTED)
unit-remote: $(READY)
	$(BIN)/$(PYTEST) tests/remote $(SELECTED)
unit-rest: $(READY)
	$(BIN)/$(PYTEST) --ignore=tests/pex --ignore=tests/dropin --ignore=tests/remote $(SELECTED)

# The same where signals are ignored and blocked, and variables, limits, locale and time zone are odd.
odd: $(READY)  ## the same where signals, variables, limits, locale and time zone are odd
	$(BIN)/python tests/support/odd.py $(BIN)/$(PYTEST) --ignore=tests/pex $(SELECTED)

# The same where Python checks more, also in what tests start: that files are closed and processes
# waited for, that nothing is raised where nobody hears it, that bytes are not taken for text.
dev: $(READY)  ## the same in development mode, each warning an error
	$(BIN)/python -E -X dev -W error -bb -X utf8 -m pytest --ignore=tests/pex $(SELECTED)

# Not part of `test`, as measuring takes a third of the time again.
coverage: $(READY)  ## the tests on one Python, telling which lines they do not reach
	@$(BIN)/coverage erase
	@$(MAKE) --no-print-directory $(MEASURING) pexes unit
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report
	@for room in $(REACHED); do \
	  echo "of $$room, in percent:"; \
	  $(BIN)/coverage report --format=total --include="*/parazip/$$room/*" --fail-under=95 || exit 1; \
	done

# In two halves, that no lane is left alone with the longest of all.
pexes: pexes-first pexes-rest  ## the tests of PEXes alone
pexes-first: $(READY)
	$(BIN)/$(PYTEST) tests/pex/test_[iow]*.py $(SELECTED)
pexes-rest: $(READY)
	$(BIN)/$(PYTEST) tests/pex/test_[!iow]*.py $(SELECTED)

.PHONY: $(addprefix other-,$(OTHERS))
$(addprefix other-,$(OTHERS)): other-%:
	@python="$(firstword $(wildcard $(foreach folder,$(HOME)/.pyenv/versions/3.$*.*/bin /usr/bin /usr/local/bin,$(folder)/python3.$*)))"; \
	test -n "$$python" || { echo "python3.$* is not installed: its tests are left out"; exit 0; }; \
	name=.venv/other-3.$*; \
	test -e $$name/ready || { \
	  "$$python" -m venv $$name && \
	  $$name/bin/python -m pip install -q --disable-pip-version-check -U pip && \
	  $$name/bin/python -m pip install -q -e .[pex] pytest hypothesis && touch $$name/ready; } && \
	$(if $(filter 12,$*),$(BIN)/python tests/support/odd.py )$$name/bin/python -E -X utf8 -m pytest -q $(SELECTED_OTHERS)

bench: $(READY)  ## the benchmark against zipfile and zip (half an hour, half a gigabyte of wheels)
	$(BIN)/python -m benchmarks prepare
	$(BIN)/python -m benchmarks run

targets: $(READY)  ## the speed figures that are promised, measured (needs Python 3.8 for a workload)
	$(BIN)/python -m benchmarks prepare
	$(BIN)/python -m benchmarks targets
	$(BIN)/python -m benchmarks copying

figures: $(READY)  ## the tables and charts of docs/pex.md and docs/loop.md (an hour)
	$(BIN)/python -m pip install -q --disable-pip-version-check --group charts
	$(BIN)/python -m benchmarks prepare tensorflow
	$(BIN)/python -m benchmarks pexes --chart docs/pex.svg
	$(BIN)/python -m benchmarks loop --chart docs/loop.svg
	$(BIN)/python -m benchmarks boots

drawing:  ## the drawing of docs/architecture.md, by Graphviz (apt-get install graphviz)
	dot -Tsvg docs/way-of-the-data.dot -o docs/way-of-the-data.svg

neighbours: $(READY)  ## the suites of programs that use zipfile, with parazip in its place (half an hour)
	$(BIN)/python -m neighbours

# With Java, Go, Node (npm), Rust (cargo), libzip, unzip, 7z, bsdtar, busybox and Perl, as far as they
# are there; Perl needs libarchive-zip-perl, and Rust without its registry librust-zip-dev and
# librust-sha2-dev. With PYPI_CHECK, the path of PyPI's warehouse/utils/zipfiles.py, that is one, too.
readers: export NODE_PATH = $(CURDIR)/.venv/readers/node_modules
readers: export CARGO_TARGET_DIR = $(CURDIR)/.venv/readers/rust
readers: $(READY)  ## what other readers see: ambiguous archives, and every feature of ours (half an hour)
	command -v npm > /dev/null && npm install --silent --no-fund --prefix .venv/readers yauzl fflate || true
	$(BIN)/python -m readers ambiguity
	$(BIN)/python -m readers matrix

# libFuzzer, by atheris, which wants at most CPython 3.13, on Linux. `.fuzz` keeps what is found, and a
# later run begins with it.
MINUTES ?= 10
fuzz: $(READY)  ## fuzzers over all that reads archives, MINUTES=10 for each of 7 targets
	$(BIN)/python -m pip install -q --disable-pip-version-check --group fuzz
	$(BIN)/python -m fuzz --minutes $(MINUTES)

# Not part of `check`, as the answer is another one each day, and needs the package index.
audit: $(READY)  ## whether anything that parazip needs has a known vulnerability (asks the package index)
	$(BIN)/python -m pip install -q --disable-pip-version-check --group audit
	$(BIN)/pip-audit --strict .

# The same bytes each time: hatchling writes no times but this one.
dist: $(READY)  ## the files of a release
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --outdir dist

clean:  ## take back what the others made
	rm -rf .venv .fuzz demo dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "parazip needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check -U pip
	$(BIN)/python -m pip install -q -e . --group dev
	@touch $@
