# SPDX-License-Identifier: BSD-2-Clause
# Lamina's build. `make help` lists the targets.

BUILD ?= build
V     ?= 0
ifeq ($(origin CC),default)
CC := gcc
endif

MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

ifeq ($(V),0)
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)'
else
Q :=
say =
endif

LD      := ld
AR      := ar
OBJCOPY := objcopy
PYTHON  := /usr/bin/python3
IASL    := iasl

# Nothing may depend on when or where the build runs.
export SOURCE_DATE_EPOCH ?= 1700000000
export LC_ALL := C
REPRO_CFLAGS = -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(abspath $(BUILD))=build \
	-ffile-prefix-map=$(BUILD)=build -gno-record-gcc-switches
ifneq ($(findstring clang,$(CC)),)
REPRO_CFLAGS := $(filter-out -gno-record-gcc-switches,$(REPRO_CFLAGS)) -fdebug-compilation-dir=.
CC_WARNINGS := -Wno-unused-command-line-argument
endif
CC_INCLUDE := $(shell $(CC) -print-file-name=include)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
	-Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings $(CC_WARNINGS)
INCLUDES := -I. -Iinclude

#
# The hypervisor. What an exit of a guest or an edit of its memory runs through is compiled for
# speed, everything else for size.
#
HV_DIRS := x86 mm drivers core vmx svm
HV_SRCS := $(sort $(wildcard $(HV_DIRS:%=%/*.c)))
HV_ASMS := $(sort $(wildcard $(HV_DIRS:%=%/*.S)))
HV_OBJS := $(HV_SRCS:%.c=$(BUILD)/hv/%.o) $(HV_ASMS:%.S=$(BUILD)/hv/%.S.o)
HV_ELF  := $(BUILD)/lamina.elf
HV_FAST := mm/% $(addsuffix .c,$(addprefix vmx/,ept vmx vmx_event vmx_exit vmx_quick vmx_state) \
	$(addprefix svm/,asid npt svm svm_event svm_exit svm_quick svm_skip svm_state) $(addprefix core/,cpuid decode \
	emulate fetch guest_mem hyp_mem hypercall io mm_host mmio msr nx pio vcpu vdev vioapic vlapic vuart \
	walk window))
HV_SPEED := -O2
HV_SMALL := -Oz

# Code is not padded, and without SSE the stack needs no more than its natural alignment.
GCC_PACKED   := -mpreferred-stack-boundary=3 -falign-jumps=1 -falign-labels=1
CLANG_PACKED := -mstack-alignment=8
HV_PACKED     = -falign-functions=1 -falign-loops=1 \
	$(if $(findstring clang,$(CC)),$(CLANG_PACKED),$(GCC_PACKED))

HV_CFLAGS = -std=gnu11 $(if $(filter $(HV_FAST),$<),$(HV_SPEED),$(HV_SMALL)) $(HV_PACKED) -g $(WARNINGS) -ffreestanding -mno-red-zone -mgeneral-regs-only \
	-mcmodel=kernel -fno-pic -fno-stack-protector -fcf-protection=none -fno-omit-frame-pointer \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-common -fno-jump-tables \
	-ffunction-sections -fdata-sections -mno-mmx -mno-sse $(REPRO_CFLAGS) $(INCLUDES) $(NEWLIB_INC)

#
# The loader: a UEFI application that carries the hypervisor
#
LOADER_SHARED ?= drivers/acpi.c
LOADER_SRCS := $(sort $(wildcard boot/*.c) $(wildcard $(LOADER_SHARED)))
LOADER_ASMS := $(sort $(wildcard boot/*.S))
LOADER_OBJS := $(LOADER_SRCS:%.c=$(BUILD)/loader/%.o) $(LOADER_ASMS:%.S=$(BUILD)/loader/%.S.o)
LOADER      := $(BUILD)/BOOTX64.EFI
EFI_INC     := /usr/include/efi
EFI_CRT0    := /usr/lib/crt0-efi-x86_64.o
EFI_LIB     := /usr/lib/libgnuefi.a

LOADER_FAST   := boot/lz4.c
LOADER_CFLAGS  = -std=gnu11 $(if $(filter $(LOADER_FAST),$<),-O2,-Os) -g $(WARNINGS) -ffreestanding -mno-red-zone -mgeneral-regs-only \
	-fpic -fvisibility=hidden -fshort-wchar -ffunction-sections -fdata-sections -fno-stack-protector -fcf-protection=none \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-common -DGNU_EFI_USE_MS_ABI \
	$(REPRO_CFLAGS) $(INCLUDES) $(NEWLIB_INC) -isystem $(EFI_INC) -isystem $(EFI_INC)/x86_64

FLAGS_STAMP := $(BUILD)/.flags

include lib/newlib.mk

.PHONY: all FORCE
all: $(LOADER) ## build the UEFI application (build/BOOTX64.EFI) and everything in it

# A change of compiler or of flags rebuilds what was built with the old ones.
FLAGS_TEXT = $(CC) | $(HV_FAST) $(HV_SPEED) $(HV_SMALL) | $(HV_CFLAGS) | $(LOADER_FAST) | $(LOADER_CFLAGS) | $(NEWLIB_CFLAGS)
$(FLAGS_STAMP): FORCE
	@mkdir -p $(BUILD)
	@echo '$(FLAGS_TEXT)' | cmp -s - $@ || echo '$(FLAGS_TEXT)' > $@

$(BUILD)/hv/%.o: %.c $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/hv/%.S.o: %.S $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -D__ASSEMBLY__ -I$(BUILD) -Wa,--noexecstack -MMD -MP -c $< -o $@

# The guests' AML is embedded by core/dsdt.S and core/ssdt.S (.incbin "dsdt.aml").
$(BUILD)/%.aml: core/%.asl
	$(call say,IASL,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(IASL) -ve -p $(@:.aml=) $< > $(@:.aml=.log) 2>&1 || { cat $(@:.aml=.log); exit 1; }
$(BUILD)/hv/core/dsdt.S.o: $(BUILD)/dsdt.aml
$(BUILD)/hv/core/ssdt.S.o: $(BUILD)/ssdt.aml

$(HV_ELF): $(HV_OBJS) $(BUILD)/libc.a linker.ld
	$(call say,LD,$(@F))
	$(Q)$(LD) -m elf_x86_64 -nostdlib -static --gc-sections --build-id=none -z noexecstack \
		-z max-page-size=16 --orphan-handling=error --fatal-warnings -Map=$(@:.elf=.map) \
		-T linker.ld -o $@ $(HV_OBJS) $(BUILD)/libc.a

# Symbols stay in lamina.elf for gdb and for reading backtraces; the loader carries none.
$(BUILD)/lamina.stripped.elf: $(HV_ELF)
	$(call say,STRIP,$(@F))
	$(Q)$(OBJCOPY) --strip-all $< $@

$(BUILD)/loader/%.o: %.c $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,CC,$< (loader))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LOADER_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/loader/%.S.o: %.S $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,AS,$< (loader))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LOADER_CFLAGS) -D__ASSEMBLY__ -I$(BUILD) -Wa,--noexecstack -MMD -MP -c $< -o $@

# For the loader, which has the checksum to look at (boot/lz4.c).
$(BUILD)/lamina.lz4: $(BUILD)/lamina.stripped.elf
	$(call say,LZ4,$(@F))
	$(Q)lz4 -q -f -12 -B7 --content-size $< $@ && touch $@

$(BUILD)/loader/embed.o: $(BUILD)/lamina.lz4 lib/embed.S $(FLAGS_STAMP)
	$(call say,EMBED,$(<F))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -DHV_IMAGE='"$<"' -Wa,--noexecstack -c -x assembler-with-cpp lib/embed.S -o $@

$(BUILD)/loader.so: $(LOADER_OBJS) $(BUILD)/loader/embed.o $(BUILD)/libc.a boot/efi.ld
	$(call say,LD,$(@F))
	$(Q)$(LD) -m elf_x86_64 -nostdlib -shared -Bsymbolic -znocombreloc -z noexecstack \
		--gc-sections --build-id=none --no-undefined --fatal-warnings -T boot/efi.ld -o $@ \
		$(EFI_CRT0) $(LOADER_OBJS) $(BUILD)/loader/embed.o $(BUILD)/libc.a $(EFI_LIB)

$(LOADER): $(BUILD)/loader.so
	$(call say,EFI,$(@F))
	$(Q)$(OBJCOPY) -j .text -j .rodata -j .data -j .dynamic -j .rela -j .reloc -j .bss \
		--target=efi-app-x86_64 --subsystem=10 $< $@

-include $(HV_OBJS:.o=.d) $(LOADER_OBJS:.o=.d)

#
# Booting: Debian's cloud kernel and a busybox shell on each core, unless told otherwise
#
HOST    ?= qemu
ACCEL   ?= tcg
IOMMU   ?=
CORES   ?= 2
KERNEL  ?=
INITRD  ?=
CMDLINE ?=
MEMORY  ?=
CPU     ?=
CONF    ?=
CACHE   ?= build/cache
DEMO    := $(BUILD)/demo
DEPS     = CACHE=$(CACHE) tools/deps.sh
MAKE_IMAGE = $(PYTHON) tools/run.py --build $(BUILD) --cores $(CORES) $(KERNEL:%=--kernel '%') \
	$(INITRD:%=--initrd '%') $(MEMORY:%=--memory %) $(CONF:%=--conf '%') \
	$(if $(CMDLINE),--cmdline '$(CMDLINE)')
RUN      = $(MAKE_IMAGE) --host $(HOST) --accel $(ACCEL) $(CPU:%=--cpu '%') $(IOMMU:%=--iommu %)
RUN_DEPS = build run $(filter bochs,$(HOST)) $(if $(KERNEL),,kernel)

$(DEMO)/vmlinuz:
	$(Q)$(DEPS) kernel
	$(call say,UNPACK,$(@F))
	$(Q)mkdir -p $(@D)
	$(Q)dpkg-deb --fsys-tarfile $$(ls $(CACHE)/linux-image-*.deb | tail -n 1) | \
		tar -xO --wildcards './boot/vmlinuz-*' > $@

$(DEMO)/initrd.img: tools/mkinitramfs $(shell find tools/initramfs -type f 2>/dev/null)
	$(call say,CPIO,$(@F))
	$(Q)mkdir -p $(@D)
	$(Q)tools/mkinitramfs $@ /bin/busybox tools/initramfs

# The drivers of virtio devices, which Debian's cloud kernel has as modules, in the order in which they
# are to be loaded; an initramfs for a root file system on such a device.
VIRTIO := virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk \
	failover net_failover virtio_net

$(DEMO)/modules/order: $(DEMO)/vmlinuz Makefile
	$(call say,UNPACK,modules)
	$(Q)mkdir -p $(@D)
	$(Q)dpkg-deb --fsys-tarfile $$(ls $(CACHE)/linux-image-*.deb | tail -n 1) | \
		tar -x -C $(@D) --transform='s,.*/,,' --wildcards $(VIRTIO:%='*/%.ko')
	$(Q)printf '%s\n' $(VIRTIO) > $@

$(DEMO)/virtio.img: tools/mkinitramfs tests/virtio-root/init $(DEMO)/modules/order
	$(call say,CPIO,$(@F))
	$(Q)tools/mkinitramfs $@ /bin/busybox tests/virtio-root $(DEMO)/modules=lib/modules

.PHONY: deps demo run debug image run-now debug-now image-now
deps: ## install every Debian package that building, running and testing needs
	$(Q)$(DEPS) build run bochs test lint model prove kernel

demo: $(if $(KERNEL),,$(DEMO)/vmlinuz) $(if $(INITRD),,$(DEMO)/initrd.img)

# In two steps, because the first may install the compiler that the second asks for its paths.
run: ## boot in an emulator: HOST=qemu|bochs ACCEL=tcg|kvm IOMMU=amd|intel|none CORES= MEMORY= KERNEL= INITRD= CMDLINE=
	$(Q)$(DEPS) $(RUN_DEPS)
	$(Q)$(MAKE) run-now
run-now: $(LOADER) demo
	$(Q)$(RUN)

debug: ## the same under QEMU, stopped for gdb
	$(Q)$(DEPS) $(RUN_DEPS) && $(DEPS) debug
	$(Q)$(MAKE) debug-now
debug-now: $(LOADER) demo
	$(Q)$(RUN) --gdb

image: ## build/lamina.img, a disk image for a USB stick (CONF= KERNEL= INITRD= for your own guests)
	$(Q)$(DEPS) $(RUN_DEPS)
	$(Q)$(MAKE) image-now
image-now: $(LOADER) demo
	$(Q)$(MAKE_IMAGE) --image-only $(BUILD)/lamina.img
	$(call say,IMAGE,$(BUILD)/lamina.img)

#
# Small guests for the target tests: each tests/guests/NAME.c with everything in tests/guests/lib/
# becomes an image in the Linux boot protocol's format, build/guests/NAME.bin.
#
GUEST_NAMES := $(patsubst tests/guests/%.c,%,$(sort $(wildcard tests/guests/*.c)))
GUEST_LIB   := $(sort $(wildcard tests/guests/lib/*.c))
GUEST_ASM   := $(sort $(wildcard tests/guests/lib/*.S))
GUEST_LIB_OBJS := $(GUEST_LIB:%.c=$(BUILD)/guest/%.o) $(GUEST_ASM:%.S=$(BUILD)/guest/%.S.o)

GUEST_CFLAGS = -std=gnu11 -O2 -g $(WARNINGS) -ffreestanding -mno-red-zone -mgeneral-regs-only \
	-fno-pic -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-common $(REPRO_CFLAGS) $(INCLUDES) -Itests/guests/lib \
	$(NEWLIB_INC)

# The benchmarks' payload is one of them, made of several files.
PAYLOAD_OBJS := $(patsubst %.c,$(BUILD)/guest/%.o,$(sort $(wildcard tests/bench/guest/*.c)))
$(BUILD)/guests/payload.elf: $(PAYLOAD_OBJS)

.PHONY: guests
guests: $(GUEST_NAMES:%=$(BUILD)/guests/%.bin) $(BUILD)/guests/payload.bin ## build the small guests of the target tests

$(BUILD)/guest/%.o: %.c $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/guest/%.S.o: %.S $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -D__ASSEMBLY__ -Wa,--noexecstack -MMD -MP -c $< -o $@

$(GUEST_NAMES:%=$(BUILD)/guests/%.elf): $(BUILD)/guests/%.elf: $(BUILD)/guest/tests/guests/%.o
$(BUILD)/guests/%.elf: $(GUEST_LIB_OBJS) $(BUILD)/libc.a tests/guests/guest.ld
	$(call say,LD,guests/$(@F))
	$(Q)mkdir -p $(@D)
	$(Q)$(LD) -m elf_x86_64 -nostdlib -static --gc-sections --build-id=none -z noexecstack \
		--no-warn-rwx-segments -T tests/guests/guest.ld -o $@ $(filter %.o,$^) $(BUILD)/libc.a

$(BUILD)/guests/%.bin: $(BUILD)/guests/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

-include $(wildcard $(BUILD)/guest/tests/guests/*.d $(BUILD)/guest/tests/guests/lib/*.d \
	$(BUILD)/guest/tests/bench/guest/*.d)

# UEFI programs that prepare the machine for a target test and then start the loader.
EFI_TESTS := $(patsubst tests/efi/%.c,$(BUILD)/efi/%.efi,$(sort $(wildcard tests/efi/*.c)))
$(BUILD)/efi/%.so: $(BUILD)/loader/tests/efi/%.o $(BUILD)/libc.a boot/efi.ld
	$(Q)mkdir -p $(@D)
	$(Q)$(LD) -m elf_x86_64 -nostdlib -shared -Bsymbolic -znocombreloc -z noexecstack \
		--build-id=none --no-undefined -T boot/efi.ld -o $@ $(EFI_CRT0) $(filter %.o,$^) \
		$(BUILD)/libc.a $(EFI_LIB)
# It starts a kernel as the hypervisor does.
$(BUILD)/efi/bare_linux.so: $(patsubst %,$(BUILD)/loader/core/%.o,linux guest_acpi dsdt.S)
$(BUILD)/loader/core/dsdt.S.o: $(BUILD)/dsdt.aml
$(BUILD)/efi/%.efi: $(BUILD)/efi/%.so
	$(call say,EFI,$(@F))
	$(Q)$(OBJCOPY) -j .text -j .rodata -j .data -j .dynamic -j .rela -j .reloc -j .bss \
		--target=efi-app-x86_64 --subsystem=10 $< $@

#
# Host tests: `// sources:` in tests/host/test_X.c names the files under test, `// libs:` what to
# link besides cmocka. Fuzzers, tests/host/fuzz_X.c, say the same.
#
HOST_TESTS := $(patsubst tests/host/%.c,%,$(sort $(wildcard tests/host/test_*.c)))
HOST_FUZZ  := $(patsubst tests/host/%.c,%,$(sort $(wildcard tests/host/fuzz_*.c)))
FUZZ_SECONDS ?= 60
K ?=
HOST_WARNINGS = $(filter-out -Wmissing-prototypes,$(WARNINGS))
HOST_CFLAGS = -std=gnu11 -O1 -g $(HOST_WARNINGS) -D_GNU_SOURCE -fno-omit-frame-pointer \
	-fno-strict-aliasing -fsanitize=address,undefined -fno-sanitize-recover=all $(INCLUDES) \
	-Itests/host
FUZZ_CC ?= clang-14
FUZZ_CFLAGS = $(HOST_CFLAGS) -fsanitize=fuzzer-no-link

$(BUILD)/host/obj/%.o: %.c $(FLAGS_STAMP)
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/fuzz/obj/%.o: %.c $(FLAGS_STAMP)
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

tagged = $(shell sed -n 's,^// $(1):,,p' tests/host/$(2).c)

define HOST_TEST
$(BUILD)/host/$(1): $(patsubst %.c,$(BUILD)/host/obj/%.o,tests/host/$(1).c $(call tagged,sources,$(1)))
	$$(call say,HOSTLD,$(1))
	$$(Q)$$(CC) $$(HOST_CFLAGS) -o $$@ $$^ -lcmocka $(call tagged,libs,$(1))
endef
define FUZZER
$(BUILD)/fuzz/$(1): $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,tests/host/$(1).c $(call tagged,sources,$(1)))
	$$(call say,FUZZLD,$(1))
	$$(Q)$$(FUZZ_CC) $$(FUZZ_CFLAGS) -fsanitize=fuzzer -o $$@ $$^ $(call tagged,libs,$(1))
endef
$(foreach t,$(HOST_TESTS),$(eval $(call HOST_TEST,$(t))))
$(foreach t,$(HOST_FUZZ),$(eval $(call FUZZER,$(t))))
-include $(shell find $(BUILD)/host/obj $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)

.PHONY: host-tests fuzzers test-host test-mm fuzz coverage mutants mutants-check
host-tests: $(HOST_TESTS:%=$(BUILD)/host/%)
fuzzers: $(HOST_FUZZ:%=$(BUILD)/fuzz/%)

test-host: host-tests ## run the host's unit tests (K=substring selects)
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --host $(K:%=-k %)

MM_SEEDS ?= 8
MM_OPS   ?= 1000
test-mm: host-tests $(BUILD)/fuzz/fuzz_mm ## the second-level MMU's tests at length (MM_SEEDS= MM_OPS= FUZZ_SECONDS=)
	$(Q)MM_SEEDS=$(MM_SEEDS) MM_OPS=$(MM_OPS) $(PYTHON) tests/run.py --build $(BUILD) --host --fuzz \
		--fuzz-seconds $(FUZZ_SECONDS) --limit 3000 -k host/test_mm -k fuzz/fuzz_mm

# Without sanitizers, whose checks are branches, too. Nor do assertions count: that none fails is
# what the tests are for.
COVERAGE := $(BUILD)/coverage
COVERAGE_CFLAGS = $(filter-out -O1 -fsanitize=% -fno-sanitize-recover=%,$(HOST_CFLAGS)) -O0 --coverage
COVERAGE_TESTS := $(patsubst %,$(COVERAGE)/host/%,$(filter test_mm test_mm_%,$(HOST_TESTS)))
coverage: ## line and branch coverage of mm/ by its host tests
	$(Q)$(MAKE) BUILD=$(COVERAGE) HOST_CFLAGS='$(COVERAGE_CFLAGS)' $(COVERAGE_TESTS)
	$(Q)find $(COVERAGE) -name '*.gcda' -delete
	$(Q)for t in $(COVERAGE_TESTS); do $$t > $$t.log 2>&1 || { tail $$t.log; exit 1; }; done
	$(Q)gcovr --root . --filter mm/ --object-directory $(COVERAGE) --exclude-unreachable-branches \
		--exclude-lines-by-pattern '.*\bASSERT\(.*' --html-details $(COVERAGE)/index.html \
		--print-summary --fail-under-line 95 --fail-under-branch 90 $(COVERAGE)

# tests/mutants/*.txt, one at a time, each until a test of the second-level MMU fails.
MUTANTS = $(PYTHON) tools/mutants.py --build $(BUILD) --cc '$(CC)' --cflags '$(HOST_CFLAGS)'
mutants: ## put faults into mm/ and the IOMMUs' drivers: do the tests notice? (K=substring selects)
	$(Q)$(MUTANTS) $(K:%=-k %)
mutants-check: ## does each fault of tests/mutants/ still fit the sources?
	$(Q)$(MUTANTS) --check

fuzz: fuzzers ## run each fuzzer for FUZZ_SECONDS (60)
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --fuzz --fuzz-seconds $(FUZZ_SECONDS) $(K:%=-k %)

#
# Stock Linux with KVM, to be compared with: its own modules, a VMM of ours, and what a stock kernel
# in one of its VMs runs. tests/lib/kvmhost.py boots it.
#
BENCH_KVM      := $(BUILD)/bench/kvm
BENCH_KVM_SRCS := $(filter-out %/guest_init.c,$(wildcard tests/bench/kvm/*.c)) core/linux.c core/guest_acpi.c
BENCH_KVM_OBJS := $(BENCH_KVM_SRCS:%.c=$(BENCH_KVM)/obj/%.o) $(BENCH_KVM)/obj/core/dsdt.S.o
KVM_MODULES    := irqbypass kvm kvm-amd kvm-intel
BENCH_KVM_CFLAGS = -std=gnu11 -O2 -g $(WARNINGS) -D_GNU_SOURCE -pthread $(INCLUDES)

.PHONY: bench-kvm-files
bench-kvm-files: $(BENCH_KVM)/vmm $(BENCH_KVM)/guest.img $(BENCH_KVM)/modules.unpacked

$(BENCH_KVM)/obj/%.o: %.c $(FLAGS_STAMP)
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_KVM_CFLAGS) -MMD -MP -c $< -o $@

$(BENCH_KVM)/obj/%.S.o: %.S $(BUILD)/dsdt.aml
	$(call say,AS,$< (bench/kvm))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -I$(BUILD) -Wa,--noexecstack -c $< -o $@

$(BENCH_KVM)/vmm: $(BENCH_KVM_OBJS)
	$(call say,HOSTLD,bench/kvm/$(@F))
	$(Q)$(CC) -static -pthread -o $@ $^

$(BENCH_KVM)/guest/init: $(BENCH_KVM)/obj/tests/bench/kvm/guest_init.o
	$(call say,HOSTLD,bench/kvm/guest/$(@F))
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -static -o $@ $^

$(BENCH_KVM)/guest.img: tools/mkinitramfs $(BENCH_KVM)/guest/init
	$(call say,CPIO,bench/kvm/$(@F))
	$(Q)tools/mkinitramfs $@ /bin/busybox $(BENCH_KVM)/guest

$(BENCH_KVM)/modules.unpacked: $(DEMO)/vmlinuz
	$(Q)$(DEPS) kernel
	$(call say,UNPACK,bench/kvm/modules)
	$(Q)mkdir -p $(@D)/modules
	$(Q)dpkg-deb --fsys-tarfile $$(ls $(CACHE)/linux-image-*.deb | tail -n 1) | \
		tar -x -C $(@D)/modules --transform='s,.*/,,' --wildcards $(KVM_MODULES:%='*/%.ko')
	$(Q)touch $@

-include $(shell find $(BENCH_KVM)/obj -name '*.d' 2>/dev/null)

#
# Benchmarks of mm/ on this machine: in time, of the very objects that the hypervisor is made of;
# and in instructions, with a compiler whose code is the same everywhere.
#
BENCH_MM      := $(BUILD)/bench/mm
BENCH_MM_LIBC := $(NEWLIB)/obj/memcpy.o $(NEWLIB)/obj/memset.o
BENCH_MM_SRCS := $(filter-out mm/hyp_pgtable.c,$(wildcard mm/*.c))
BENCH_MM_CFLAGS = -std=gnu11 -O2 -mstackrealign -g $(WARNINGS) -D_GNU_SOURCE -fno-strict-aliasing -fno-pic \
	$(INCLUDES) -Itests/bench/mm

$(BENCH_MM)/obj/%.o: tests/bench/mm/%.c $(FLAGS_STAMP)
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_MM_CFLAGS) -MMD -MP -c $< -o $@

$(BENCH_MM)/time: $(BENCH_MM_SRCS:%.c=$(BUILD)/hv/%.o) $(BENCH_MM_LIBC) \
		$(patsubst %,$(BENCH_MM)/obj/%.o,time ops host)
	$(call say,HOSTLD,bench/mm/$(@F))
	$(Q)$(CC) -no-pie -o $@ $^

COUNTS_CC     := gcc-12
COUNTS_CFLAGS  = $(filter-out -fdebug-compilation-dir=% $(CLANG_PACKED),$(HV_CFLAGS)) $(GCC_PACKED)
$(BENCH_MM)/counts-obj/mm/%.o: private CC_INCLUDE = $(shell $(COUNTS_CC) -print-file-name=include)
$(BENCH_MM)/counts-obj/mm/%.o: mm/%.c $(FLAGS_STAMP) $(NEWLIB_OK)
	$(call say,CC,$< (counts))
	$(Q)mkdir -p $(@D)
	$(Q)$(COUNTS_CC) $(COUNTS_CFLAGS) -MMD -MP -c $< -o $@

$(BENCH_MM)/counts-obj/%.o: tests/bench/mm/%.c $(FLAGS_STAMP)
	$(call say,HOSTCC,$< (counts))
	$(Q)mkdir -p $(@D)
	$(Q)$(COUNTS_CC) $(BENCH_MM_CFLAGS) -MMD -MP -c $< -o $@

$(BENCH_MM)/counts: $(BENCH_MM_SRCS:%.c=$(BENCH_MM)/counts-obj/%.o) $(BENCH_MM_LIBC) \
		$(patsubst %,$(BENCH_MM)/counts-obj/%.o,counts ops host)
	$(call say,HOSTLD,bench/mm/$(@F))
	$(Q)$(COUNTS_CC) -no-pie -o $@ $^

-include $(shell find $(BENCH_MM) -name '*.d' 2>/dev/null)

COUNTS = $(PYTHON) tests/bench/mm/counts.py $(BENCH_MM)/counts $(BENCH_MM)/callgrind \
	tests/bench/mm/baseline.json

.PHONY: bench-mm bench-mm-counts bench-mm-baseline
bench-mm: $(BENCH_MM)/time ## measure mm/ in time, on this machine (K=substring selects)
	$(Q)$(PYTHON) tests/bench/mm/report.py $< $(BENCH_MM).json $(K)

bench-mm-counts: $(BENCH_MM)/counts ## count the instructions of mm/; fails if there are 3 % more
	$(Q)$(COUNTS)

bench-mm-baseline: $(BENCH_MM)/counts ## make today's counts the ones to compare with
	$(Q)$(COUNTS) --update

#
# Tests and checks
#
ALL_C := $(sort $(wildcard $(HV_DIRS:%=%/*.[ch]) boot/*.[ch] include/*.h lib/*.[ch] \
	tests/host/*.[ch] tests/bench/mm/*.[ch] tests/bench/guest/*.[ch] tests/bench/kvm/*.[ch] tests/bench/boot/*.c tests/guests/*.[ch] tests/guests/lib/*.[ch] tools/*.c))
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY   ?= clang-tidy-14
FILE_LIMIT   := 262144
MEMORY_LIMIT := 524288

IOMMU_TESTS := iommu passthrough devs

.PHONY: test test-now test-build test-target test-iommu bench bench-now bench-docs bench-baseline bench-iommu model prove check-config format format-check \
	tidy cppcheck layering sizes reproducible lint
test: ## everything: unit tests, fuzzers, checks, target tests (K=substring selects)
	$(Q)$(DEPS) build run bochs test kernel
	$(Q)$(MAKE) test-now

# A part that does not build is reported as failed tests, not as an end of everything.
TARGET_DEPS := $(LOADER) $(EFI_TESTS) demo $(DEMO)/virtio.img
test-build: $(TARGET_DEPS)
	$(Q)$(MAKE) --keep-going guests host-tests fuzzers || true
test-now: test-build
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) $(K:%=-k %)

test-target: test-build ## target tests only (K=substring; ON=qemu|bochs)
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --target $(K:%=-k %) $(ON:%=--on %)

test-iommu: $(TARGET_DEPS) guests ## target tests with IOMMUs and devices of guests (K=substring; QEMU=path)
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --target $(or $(K:%=-k %),$(IOMMU_TESTS:%=-k target/%.))

# The host's tests of the drivers, without sanitizers.
BENCH_IOMMU := $(BUILD)/bench/iommu
BENCH_IOMMU_CFLAGS = $(filter-out -O1 -fsanitize=% -fno-sanitize-recover=%,$(HOST_CFLAGS)) -O2
bench-iommu: $(TARGET_DEPS) guests ## a guest's disk against the bare machine's; what attaching and mapping cost
	$(Q)$(MAKE) BUILD=$(BENCH_IOMMU) HOST_CFLAGS='$(BENCH_IOMMU_CFLAGS)' \
		$(BENCH_IOMMU)/host/test_vtd $(BENCH_IOMMU)/host/test_amdvi
	$(Q)$(PYTHON) tests/bench/iommu/counts.py $(BENCH_IOMMU)/host
	$(Q)$(PYTHON) tests/run.py --build $(BUILD) --bench $(or $(K:%=-k %),-k target/bench_iommu.)

# An initramfs whose first process tells when it was reached.
BENCH_BOOT := $(BUILD)/bench/boot
$(BENCH_BOOT)/root/init: tests/bench/boot/init.c
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -static $(HOST_WARNINGS) -o $@ $<
$(BENCH_BOOT).img: $(BENCH_BOOT)/root/init tools/mkinitramfs
	$(call say,CPIO,bench/$(@F))
	$(Q)tools/mkinitramfs $@ /bin/busybox $(BENCH_BOOT)/root

# Lamina, the bare machine and KVM by the same guest: docs/performance.md.
BENCH = $(PYTHON) tests/bench/run.py --build $(BUILD)
bench: ## measure Lamina, KVM and the bare machine on both emulators (K=substring ON=qemu|bochs)
	$(Q)$(DEPS) build run bochs kernel
	$(Q)$(MAKE) bench-now
bench-now: $(TARGET_DEPS) $(BENCH_BOOT).img guests bench-kvm-files
	$(Q)$(BENCH) $(K:%=-k %) $(ON:%=--on %)

# Four cores unless CORES= says how many the machine has.
BENCH_IMAGE := $(BUILD)/bench.img
.PHONY: bench-image bench-image-now
bench-image: ## build/bench.img, a disk image that measures a real machine (CORES= SECONDS= BARE=1 KHZ=)
	$(Q)$(DEPS) build run
	$(Q)$(MAKE) bench-image-now
bench-image-now: $(LOADER) $(BUILD)/efi/bare.efi $(BUILD)/guests/payload.bin
	$(Q)$(PYTHON) tests/bench/image.py --build $(BUILD) $(if $(BARE),--bare) $(KHZ:%=--khz %) \
		$(SECONDS:%=--seconds %) --cores $(if $(filter file,$(origin CORES)),4,$(CORES)) $(BENCH_IMAGE)
	$(call say,IMAGE,$(BENCH_IMAGE))

bench-docs: ## put the last results of `make bench` into docs/performance.md
	$(Q)$(BENCH) --docs docs/performance.md

bench-baseline: ## make the last results of `make bench` the ones that tests compare with
	$(Q)$(BENCH) --baseline tests/bench/baseline.json

CHECK_CONFIG_SRCS := tools/check_config.c boot/config.c boot/config_check.c boot/config_devices.c \
	boot/config_values.c boot/linux_image.c boot/report.c
$(BUILD)/check-config: $(CHECK_CONFIG_SRCS:%.c=$(BUILD)/host/obj/%.o)
	$(call say,HOSTLD,$(@F))
	$(Q)$(CC) $(HOST_CFLAGS) -o $@ $^

check-config: $(BUILD)/check-config ## check a configuration file without booting (CONF=file ARGS='--cores 4')
	$(Q)$(if $(CONF),,$(error say which: make check-config CONF=my.conf))$< $(ARGS) $(CONF)

model: ## check the models of the MMU's protocols, and that their broken variants fail (K=substring)
	$(Q)$(DEPS) model
	$(Q)$(PYTHON) tests/model/run.py --build $(BUILD) $(K:%=-k %)

prove: ## analyse mm/ for run-time errors with Frama-C's Eva (K=substring)
	$(Q)$(DEPS) prove
	$(Q)$(PYTHON) tests/prove/run.py --build $(BUILD) $(K:%=-k %)

lint: format-check tidy cppcheck layering mutants-check sizes ## all checks of the sources

format: ## format the sources
	$(Q)$(CLANG_FORMAT) -i $(ALL_C)

format-check: ## are the sources formatted?
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(ALL_C)

TIDY_FLAGS = $(filter-out $(GCC_PACKED) -Werror -mcmodel=kernel -gno-record-gcc-switches -fno-pic,$(HV_CFLAGS))
tidy: $(NEWLIB_OK) ## clang-tidy
	$(Q)printf '%s\n' $(HV_SRCS) | xargs -P $$(nproc) -n 4 sh -c \
		'$(CLANG_TIDY) --quiet "$$@" -- $(TIDY_FLAGS) 2>/dev/null' tidy
	$(Q)printf '%s\n' $(LOADER_SRCS) | xargs -P $$(nproc) -n 4 sh -c '$(CLANG_TIDY) --quiet "$$@" -- \
		$(filter-out -Werror -gno-record-gcc-switches,$(LOADER_CFLAGS)) 2>/dev/null' tidy

cppcheck: ## cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance --std=c11 \
		--platform=unix64 -U__ASSEMBLER__ -U__ASSEMBLY__ --inline-suppr --suppressions-list=tools/cppcheck.txt -j $$(nproc) \
		$(INCLUDES) $(HV_DIRS) boot lib

layering: $(NEWLIB_OK) ## do the folders depend on each other as they should?
	$(Q)$(PYTHON) tools/layering.py $(CC) $(HV_CFLAGS) -isystem $(EFI_INC) \
		-isystem $(EFI_INC)/x86_64 -DGNU_EFI_USE_MS_ABI

# The file that is installed, and what the hypervisor takes in memory. The rest of the file is the
# loader, which the machine forgets.
sizes: $(LOADER) ## the sizes of the images; fails above the limits
	$(Q)size -A $(HV_ELF) | awk '$$1 ~ /^[.](text|rodata|data|bss)$$/ { n += $$2; \
		printf "%s%s %d", n == $$2 ? "in memory: " : ", ", substr($$1, 2), $$2 } \
		END { printf "; %d of $(MEMORY_LIMIT) bytes\n", n; exit n > $(MEMORY_LIMIT) }'
	$(Q)stat -c %s $(LOADER) $(BUILD)/lamina.lz4 | tr '\n' ' ' | awk '{ \
		printf "BOOTX64.EFI: hypervisor, packed %d, loader %d; %d of $(FILE_LIMIT) bytes\n", \
		$$2, $$1 - $$2, $$1; exit $$1 > $(FILE_LIMIT) }'

reproducible: ## build twice, in folders of different names, and compare
	$(Q)tools/reproducible.sh $(CC)

.PHONY: help clean distclean
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

clean: ## remove what was built; keep downloads
	$(Q)if [ -d $(BUILD) ]; then find $(BUILD) -mindepth 1 -maxdepth 1 ! -name cache \
		-exec rm -rf {} +; fi

distclean: ## remove the build folder
	$(Q)rm -rf $(BUILD)
