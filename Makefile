# Weir: what a contributor types. `make test` is what CI runs.
.DEFAULT_GOAL := help
SHELL := /bin/bash

SWIFT ?= swift
WEIR := .build/release/weir

.PHONY: help demo build test test-unit test-processes test-vllm worlds bench soak format lint setup clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | column -t -s '|'

demo: build ## see it: simulated servers, gateway, queue and traffic in one command (under 3 minutes after the build)
	@$(WEIR) demo

build: setup ## build the release binary: .build/release/weir
	@$(SWIFT) build -c release --product weir

test: setup ## everything: format, unit tests, real processes, the lab's figures
	@Scripts/test

test-unit: setup ## unit tests only (debug build)
	@$(SWIFT) test

test-processes: build ## real processes and the lab's figures only
	@Scripts/test-processes

test-vllm: build ## two real vLLM servers on this machine's processors behind Weir (not part of `make test`: 2.5 GB from PyPI, 20 minutes)
	@Scripts/test-vllm

SEEDS ?= 1-20000

worlds: setup ## deterministic worlds of delivery with faults; SEEDS=1-100000 for a night's run, SEED=n for one of them
	@$(SWIFT) build -c release --product delivery-worlds
	@.build/release/delivery-worlds $(if $(SEED),--seed $(SEED) --trace,--seeds $(SEEDS))

bench: build ## measure the pure cores, the gateway beside nginx, the queue, and the lab; prints ratios of one run
	@$(SWIFT) build -c release --product micro-benchmarks
	@Scripts/bench

HOURS ?= 2

soak: build ## two virtual hours of mixed traffic at real sockets in six minutes: memory, counters, drift; HOURS=6 for more
	@Scripts/soak --hours $(HOURS)

format: ## format all Swift sources in place
	@$(SWIFT) format --in-place --recursive Sources Tests Package.swift

lint: ## check the format of all Swift sources
	@$(SWIFT) format lint --strict --recursive Sources Tests Package.swift

setup: ## install the system packages that the build needs, after saying so
	@Scripts/setup

clean: ## remove everything that was built
	@rm -rf .build .venv .venv-vllm
