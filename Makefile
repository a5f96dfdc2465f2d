# photone: `make demo` and `make test` set up what they need; `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# pip compiles what it installs, but not what it links to; without this a command takes 0.1 s longer to start.
COMPILE := $(BIN)/python -m compileall -q core schemas phase1_sound phase2_music flows

.PHONY: help demo setup test slow lint bench check schemas scores up web screenshots chaos throughput clean system peers stage
help: ## List the targets.
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/core ## Make a song out of a photograph with the embedded engines, into runs/demo.
	$(BIN)/photone make "$$($(BIN)/python -m flows.demo)" --score greensleeves --out runs/demo --track

up: .venv/core ## Start Prefect, the player and a worker; make up UP="--watch pictures" for more.
	$(BIN)/photone up $(UP)

setup: .venv/dev ## Install everything for development into .venv.

# A file's tests stay together: they share what was built for them.
test: .venv/dev | stage ## Run the tests on all cores, those that listen in real time by themselves.
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "not slow and not live"
	$(BIN)/python -m pytest -m live

slow: .venv/dev | stage ## Run the tests that take long: trainings, crashes, batches, other databases.
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m slow

lint: .venv/dev ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if test -d web/node_modules/esbuild && command -v node >/dev/null; then node web/build.mjs --check; \
	else echo "web/ was not checked: it needs node and \`make web\`"; fi

bench: .venv/dev | peers ## Measure what playing a score costs, beside FluidSynth's command line, pretty_midi and librosa.
	$(COMPILE)
	$(BIN)/python -m flows.evaluation.bench $(BENCH)

check: lint test slow ## What CI runs: style, types, tests.

chaos: .venv/dev ## Kill worker and server while a folder is rendered, then count what was lost; CHAOS="--pictures 40".
	$(BIN)/python -m flows.evaluation.chaos $(CHAOS)

throughput: .venv/dev ## Measure a batch with one and two workers, and what orchestration costs; THROUGHPUT="--songs 4".
	$(BIN)/python -m flows.evaluation.throughput $(THROUGHPUT)

schemas: .venv/dev ## Export the JSON Schemas after a change of the models.
	$(BIN)/python -m schemas.export

scores: .venv/dev ## Write the bundled scores again.
	$(BIN)/python -m phase2_music.scores.arrange

web: ## Check web/src and build the pages' scripts and styles of it; needs node and npm.
	npm --prefix web ci --no-audit --no-fund
	npm --prefix web run check
	npm --prefix web run build

screenshots: .venv/dev | stage ## Take the pictures of docs/screenshots in a real browser.
	$(BIN)/python docs/screenshots.py

clean: ## Remove the environment and caches; runs/ stays.
	rm -rf .venv .prefect build *.egg-info

# Debian packages: root installs what is missing; anybody else is told the one command.
# $(call debian,a command that succeeds where they are there,the packages)
define debian
	@if $(1); then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2); \
	else \
	  echo "missing on this system. Run: sudo apt-get install $(2)" >&2; exit 1; \
	fi
endef
HAS_FLUIDSYNTH := from ctypes.util import find_library; raise SystemExit(not find_library("fluidsynth"))

system:
	$(call debian,$(PYTHON) -c '$(HAS_FLUIDSYNTH)',libfluidsynth3)

# The bench's peer.
peers:
	$(call debian,command -v fluidsynth >/dev/null,fluidsynth)

# What the tests use for real: a browser, a database server, a soundfont to make a corpus of.
stage:
	$(call debian,command -v chromium >/dev/null && test -e /usr/share/sounds/sf2/FluidR3_GM.sf2 \
	  && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1,chromium fluid-soundfont-gm postgresql)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "photone needs Python 3.11: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core: pyproject.toml constraints.txt .venv/bin/python | system
	$(PIP) --editable .
	$(COMPILE)
	@touch $@

.venv/dev: .venv/core
	$(PIP) --editable '.[dev,models,train,scale]'
	@touch $@
