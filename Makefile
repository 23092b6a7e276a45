# SPDX-License-Identifier: Apache-2.0
# The everyday words. Meson does the work, in build/.
BUILD   ?= build
PREFIX  ?= /usr/local
RESULTS ?= docs/bench

.PHONY: all deps demo test check bench torture fuzz verify arm64 install format clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) --prefix=$(abspath $(PREFIX)) >$(BUILD).log || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

# Installs the Debian packages that are missing; nothing, and without a network, when none is.
deps:
	@sh scripts/deps packages.txt

# The main job, on a file of many lines: make demo FILE=…
demo: all
	@BUILD=$(BUILD) sh examples/demo/demo $(if $(FILE),'$(FILE)')

# One more at a time than there are cores: most of what a test does is to wait.
test: all
	@meson test -C $(BUILD) --print-errorlogs --num-processes $$(($$(nproc) + 1))

# What can be said of the sources without running them.
check: all
	@sh scripts/check $(BUILD)

# About seven minutes. The tables here, JSON and charts in docs/bench/: make bench RESULTS=DIR
bench: all
	@$(BUILD)/tool/ginnel bench mailbox --save '$(RESULTS)'
	@$(BUILD)/tool/ginnel bench direct --save '$(RESULTS)'
	@$(BUILD)/tool/ginnel bench spawn --save '$(RESULTS)'
	@$(BUILD)/tool/ginnel bench --peers --save '$(RESULTS)'
	@$(BUILD)/tool/ginnel bench --scale --save '$(RESULTS)'

torture: all
	@$(BUILD)/test/torture/torture --full
	@$(BUILD)/test/torture/torture_segments --full
	@$(BUILD)/test/torture/torture_links --full

# Hostile inputs and members, each target for so long: make fuzz SECONDS=60
fuzz: deps
	@sh fuzz/run $(or $(SECONDS),60)

verify: deps
	@sh verify/run

# Cross-built, under qemu: a quarter of an hour.
arm64: deps
	@sh scripts/arm64

# Headers, libraries, ginnel.pc, the tool and the manual below PREFIX; as root also the machine-wide directory.
install: all
	@meson configure $(BUILD) --prefix=$(abspath $(PREFIX))
	@meson install -C $(BUILD) --quiet
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then /sbin/ldconfig; fi

format: deps
	@sh scripts/sources '*.c' '*.cc' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD) build-ci build-fuzz build-arm64
