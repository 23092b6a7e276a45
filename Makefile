# SPDX-License-Identifier: Apache-2.0
# The everyday words. Meson does the work, in build/.
BUILD  ?= build
PREFIX ?= /usr/local

.PHONY: all deps demo test bench torture verify install format clean

all: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null

deps:
	@sh scripts/deps packages.txt

test: all
	@meson test -C $(BUILD) --print-errorlogs

demo: all
	@BUILD=$(BUILD) sh examples/demo/demo $(if $(FILE),'$(FILE)')

bench: all
	@$(BUILD)/tool/ginnel bench mailbox

torture: all
	@$(BUILD)/test/torture/torture --full

verify: deps
	@sh verify/run

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@meson install -C $(BUILD) --quiet

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD)
