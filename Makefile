# photone: `make demo` and `make test` set up what they need; `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo setup test lint bench check schemas scores clean system peers
help: ## List the targets.
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/core ## Make a song out of a photograph with the embedded engines, into runs/demo.
	$(BIN)/photone make "$$($(BIN)/python -m flows.demo)" --score greensleeves --out runs/demo --track

setup: .venv/dev ## Install everything for development into .venv.

test: .venv/dev ## Run all tests.
	$(BIN)/python -m pytest

lint: .venv/dev ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev | peers ## Measure what playing a score costs, beside FluidSynth's command line, pretty_midi and librosa.
	$(BIN)/python -m flows.evaluation.bench $(BENCH)

check: lint test ## What CI runs: style, types, tests.

schemas: .venv/dev ## Export the JSON Schemas after a change of the models.
	$(BIN)/python -m schemas.export

scores: .venv/dev ## Write the bundled scores again.
	$(BIN)/python -m phase2_music.scores.arrange

clean: ## Remove the environment and caches; runs/ stays.
	rm -rf .venv .prefect build *.egg-info

# FluidSynth's library comes from the system. Root installs it; anybody else is told the one command.
system:
	@if $(PYTHON) -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library("fluidsynth"))'; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libfluidsynth3; \
	else \
	  echo "FluidSynth's library is missing. Run: sudo apt-get install libfluidsynth3" >&2; exit 1; \
	fi

# The bench's peer.
peers:
	@if command -v fluidsynth >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq fluidsynth; \
	else \
	  echo "FluidSynth's command line, the peer, is missing. Run: sudo apt-get install fluidsynth" >&2; exit 1; \
	fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "photone needs Python 3.11: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core: pyproject.toml constraints.txt .venv/bin/python | system
	$(PIP) --editable .
	@touch $@

.venv/dev: .venv/core
	$(PIP) --editable '.[dev,models]'
	@touch $@
