# Thin lines over meson and ninja: short names for what people do all day. `make help` lists them.
BUILD ?= build
MESON_OPTIONS ?=

all: $(BUILD)/build.ninja ## build the program and the library (build/vmcred)
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/install-deps --build
	@meson setup $(BUILD) $(MESON_OPTIONS)

demo: ## the whole flow on real parts, from a generated secret to a guest's service
	@examples/test-vm/demo

test: ## all tests: units, the program from outside, interop with the real peers, a booted guest
	@tools/install-deps --test
	@$(MAKE) --no-print-directory all
	@tools/test-run $(BUILD)

bench: ## measure against the real peers in the same run
	@tools/install-deps --test
	@$(MAKE) --no-print-directory all
	@PATH="$${XDG_CACHE_HOME:-$$HOME/.cache}/vmcred/bin:$$PATH" meson test -C $(BUILD) --benchmark --verbose

lint: all ## clang-tidy, cppcheck, shellcheck, formatting
	@tools/lint $(BUILD)

fmt: ## format the sources
	@git ls-files '*.c' '*.h' | xargs clang-format -i

sanitize: ## the unit and program tests under ASan and UBSan, and the unit tests under valgrind
	@tools/sanitize

fuzz: ## each fuzzer for a minute (FUZZ_SECONDS=60)
	@tools/fuzz

install: all ## install (DESTDIR and meson's --prefix are honoured)
	@meson install -C $(BUILD)

clean: ## remove the build folders
	@rm -rf $(BUILD) $(BUILD)-*

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

.PHONY: all demo test bench lint fmt sanitize fuzz install clean help
