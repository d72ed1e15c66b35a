# `make help` lists the targets. Everything built goes to one folder outside the checkout, so that a fresh clone starts warm.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(HOME)/.cache/baton/target
SEEDS ?= 200
START ?= 1
VIEWS ?= 1000000
BIN := $(CARGO_TARGET_DIR)/debug

.PHONY: help setup contracts devnet test simulate simulate-memory model mutants bench test-contracts docker-test check fmt artifacts

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs what is missing (libclang for RocksDB, npm packages of contracts/), or prints the command
	@tools/setup

devnet: setup ## Starts a local L1 and four staked nodes; ARGS="…" go to `baton devnet`
	cargo build --locked --bin baton
	$(BIN)/baton devnet $(ARGS)

test: setup ## Runs every test: Rust, Solidity, and the end-to-end stories
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --exclude baton-tests
	$(MAKE) --no-print-directory test-contracts
	cargo test --locked --package baton-tests -- --test-threads=1

simulate: ## Runs the consensus simulator over SEEDS seeds from START on, until one fails; or plays SCENARIO, a file
	BATON_SIMULATE_SEEDS=$(SEEDS) BATON_SIMULATE_START=$(START) BATON_SIMULATE_SCENARIO=$(SCENARIO) cargo test --locked --package baton-consensus \
		--test simulation -- --exact clusters_agree_under_faults_and_go_on_when_they_heal --nocapture

model: ## Visits every state of the voting rules in five views; `make test` does it in four
	BATON_MODEL_VIEWS=5 cargo test --locked --package baton-consensus --test model -- --nocapture --test-threads=1

simulate-memory: ## Runs one consensus machine through VIEWS views and sees that its memory is flat
	BATON_SIMULATE_VIEWS=$(VIEWS) cargo test --locked --package baton-consensus --test simulation -- \
		--exact timing::memory_is_flat_however_many_views_pass --nocapture

mutants: setup ## Breaks one safety check after the other and sees a test fail, up to 20 minutes; ARGS="quorum" picks by name
	node tools/mutants/run.mjs $(ARGS)

test-contracts: setup ## Runs the Solidity tests and checks that the committed artifacts are not stale
	cd contracts && npm run --silent check

# Its own folder and profile: figures of an unoptimized node say nothing, and a release build would take an hour.
bench: export CARGO_TARGET_DIR := $(HOME)/.cache/baton/bench
bench: setup ## Measures network, consensus and gas here, about 5 minutes; BENCH_WRITE=1 puts the table into README.md
	cargo build --locked --profile measured --bin baton --bin baton-bench
	$(CARGO_TARGET_DIR)/measured/baton-bench $(if $(BENCH_WRITE),--write README.md) $(ARGS)

docker-test: ## Proves docker/ on a real Docker engine, which it starts where it may; PROFILE=release builds what users run
	@docker/test

artifacts: setup ## Rebuilds the committed contract artifacts
	cd contracts && npm run --silent artifacts

check: setup ## Formatting, lints and docs, with warnings denied
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --quiet

fmt: ## Formats the Rust code
	cargo fmt --all
