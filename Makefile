# make demo        a cluster of three machines inside this one, from nothing to status
# make demo-down   takes it away again
# make test        everything that must hold, the lab suite included; the last line is the count
# make bench       what runs cost: against their floors, and beside Ansible and pyinfra; hours, unless BENCH_NODES,
#                  BENCH_ROUNDS, BENCH_TOOLS or BENCH_MANY ask for less (tests/bench/bench.py)
#
# All of them need root: the lab boots real machines. What is missing on this machine is installed with apt.

DEMO := inventories/demo
DEPLOY := target/debug/deploy
RELEASE := target/release/deploy
COUNT_FILE ?= /dev/null

.PHONY: demo demo-down test bench tools

tools:
	@sh tests/tools.sh

$(DEPLOY): tools
	@PATH="$$HOME/.cargo/bin:$$PATH" cargo build --quiet

demo: $(DEPLOY)
	@bash tests/demo.sh $(DEPLOY) $(DEMO)

demo-down: $(DEPLOY)
	$(DEPLOY) lab down $(DEMO)

test: tools
	@bash tests/all.sh $(COUNT_FILE)

bench: tools
	@PATH="$$HOME/.cargo/bin:$$PATH" cargo build --quiet --release
	@bash tests/bench/cluster.sh $(RELEASE)
	@python3 -B tests/bench/bench.py $(RELEASE)
