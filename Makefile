# Two commands, each doing all its own set-up:
#   make demo    teacher and student on the virtual ARM64 board: deploy, play, measure, report
#   make test    everything that has to hold before a commit

SHELL := /bin/bash
# The first Python that is new enough.
FIND_PYTHON = for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done
BIN := .venv/bin
# What the virtual board needs from the system. Where it can't be had, everything runs on the loopback board.
PACKAGES := qemu-system-arm qemu-utils e2fsprogs cpio util-linux debian-archive-keyring
# Only the tests need them: what plays the made-up phrases that models are trained with, real SSH servers, another home for
# their client, a browser, shells that complete, and shells that people log in to.
TEST_PACKAGES := fluidsynth fluid-soundfont-gm openssh-server dropbear-bin libnss-wrapper chromium zsh fish tcsh busybox
TORCH := torch==2.13.0
# A process for each processor, each with torch in half a gigabyte; what more than four would gain is not known.
SHARED := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test benchmark format clean

demo: .venv/demo-is-set-up
	@$(BIN)/tonearm demo

test: .venv/test-is-set-up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	@reason=$$($(BIN)/python -c 'from tonearm.device.virtual.start import obstacle; print(obstacle())'); \
	if [ -z "$$reason" ]; then $(BIN)/pytest -q $(SHARED); \
	else echo "the tests of the virtual board are left out: $$reason"; $(BIN)/pytest -q $(SHARED) -m "not virtual"; fi

# Timings, which no test asserts: what the runner adds to a bare loop of run_with_iobinding; reading 10 million steps;
# how soon help is there (python tests/support/startup.py OTHER/tonearm compares).
benchmark: .venv/test-is-set-up
	$(BIN)/python tests/support/overhead.py
	$(BIN)/python tests/support/benchmark_results.py
	$(BIN)/python tests/support/benchmark_many.py
	$(BIN)/python tests/support/startup.py

format: .venv/test-is-set-up
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info demo

# The exact version of torch that comes as a CPU build is installed first: any other brings gigabytes of CUDA.
.venv/demo-is-set-up: pyproject.toml Makefile
	@$(call install_packages,$(PACKAGES))
	@[ -n "$$($(FIND_PYTHON))" ] || { echo "Python 3.11 or newer is needed, this system has none" >&2; exit 1; }
	@echo "set up: Python packages into .venv, about 1.5 GB (one to three minutes)"
	@start=$$SECONDS; set -e; \
	test -x $(BIN)/pip || $$($(FIND_PYTHON)) -m venv .venv; \
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH); \
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[export]'; \
	echo "set up: Python packages  [$$((SECONDS - start)) s]"
	@mkdir -p .venv/links && ln -sfn ../.. .venv/links/tonearm
	@touch $@

.venv/test-is-set-up: .venv/demo-is-set-up
	@$(call install_packages,$(TEST_PACKAGES))
	@echo "set up: development tools into .venv (half a minute)"
	@start=$$SECONDS; set -e; \
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[export,train,dev]'; \
	echo "set up: development tools  [$$((SECONDS - start)) s]"
	@touch $@

define install_packages
if ! command -v apt-get >/dev/null; then \
	echo "set up: no apt on this machine, so no virtual board: the loopback board is used instead"; exit 0; fi; \
missing=""; python=$$($(FIND_PYTHON)); \
$${python:-false} -c 'import ensurepip' 2>/dev/null || missing=" python3 python3-venv"; \
for p in $(1); do \
	dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
[ -n "$$missing" ] || exit 0; \
start=$$SECONDS; sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
echo "set up: system packages:$$missing (half a minute)"; \
$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -qq -y --no-install-recommends $$missing \
	>/dev/null && echo "set up: system packages  [$$((SECONDS - start)) s]" \
	|| echo "set up: apt could not install them: what needs them is left out (no virtual board: the loopback board is used)"
endef
