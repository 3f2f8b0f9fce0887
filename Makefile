# `make run` is all that a fresh machine with Rust and Python 3 needs; `make help` lists the rest.

MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
BUILT := $(or $(CARGO_TARGET_DIR),target)/release

.DEFAULT_GOAL := help
# How long `make fuzz` runs each of its targets.
SECONDS ?= 60

.PHONY: help run model needs test check fmt openapi demo bench storm soak fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: needs model ## get what is missing, build, and serve on 127.0.0.1:8080 (EXTRACTD_LISTEN)
	cargo run --release --locked

model: ## get the built-in model, 98 MB, if it is not there
	@sh .make/model.sh $(MODEL)

needs: ## install what the build needs, if it is not there
	@sh .make/needs.sh

test: export EXTRACTD_MODEL_PATH := $(CURDIR)/$(MODEL)
test: needs model ## all the tests; they use no network
	cargo test --locked

check: needs model ## everything that has to pass before a commit
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --locked
	$(MAKE) test
	cargo check --no-default-features --locked

fmt: ## format the code
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml

openapi: needs ## write openapi/openapi.json anew from the code
	document=$$(cargo run --quiet --locked -- openapi) && printf '%s\n' "$$document" > openapi/openapi.json

demo: needs model ## seven people, five ways, timed beside the article's table (EXTRACTD_URL: a running service)
	cargo build --release --locked
	cargo build --release --locked --example upstream
	python3 examples/demo.py --extractd $(BUILT)/extractd --upstream $(BUILT)/examples/upstream --model $(MODEL)

bench: needs ## what the service adds to the calls it makes, against a simulated upstream
	cargo bench --locked --bench load

storm: needs ## a batch behind limits of requests and tokens, 429s and faults; five minutes
	cargo bench --locked --bench load -- --part storm

soak: needs ## 200 kills of a running job, and an hour of load; SOAK_SECONDS=3600
	SOAK_KILLS=200 SOAK_ITEMS=5000 SOAK_SECONDS=$(or $(SOAK_SECONDS),3600) cargo test --release --locked --no-default-features --test it -- jobs:: --nocapture

fuzz: ## look for bytes that break a promise, SECONDS=60 for each of what reads them; installs nightly Rust and cargo-fuzz
	@sh .make/fuzz.sh $(SECONDS)

clean: ## remove what was built; the model stays
	cargo clean
