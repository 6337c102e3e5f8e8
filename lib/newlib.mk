# SPDX-License-Identifier: BSD-2-Clause
# A subset of newlib (Debian's newlib-source), compiled straight from the tarball: what a
# freestanding program needs of string.h, ctype.h, stdlib.h and snprintf. No floating point, no
# stdio streams, no malloc. The code is position independent without a GOT, so that the hypervisor
# and the loader link the same archive.

NEWLIB_TAR := $(lastword $(sort $(wildcard /usr/src/newlib/newlib-*.tar.xz)))
NEWLIB     := $(BUILD)/newlib
NEWLIB_C   := $(NEWLIB)/src/newlib/libc
NEWLIB_OK  := $(NEWLIB)/.unpacked

NEWLIB_SRCS := \
	$(addprefix string/,memchr memcmp memmove memrchr memmem mempcpy strcat strchr strchrnul \
		strcmp strcasecmp strncasecmp strcpy strcspn strlcat strlcpy strlen strncat \
		strncmp strncpy strnlen strpbrk strrchr strsep strspn strstr strtok_r) \
	$(addprefix ctype/,ctype_ isalnum isalpha isascii isblank iscntrl isdigit islower isprint \
		ispunct isspace isupper isxdigit tolower toupper) \
	$(addprefix stdlib/,strtol strtoul strtoll strtoull strtoll_r strtoull_r atoi abs labs) \
	$(addprefix search/,bsearch qsort) \
	$(addprefix stdio/,snprintf vsnprintf sprintf vsprintf) \
	errno/errno

NEWLIB_OBJS := $(NEWLIB_SRCS:%=$(NEWLIB)/obj/%.o) $(NEWLIB)/obj/svfprintf.o \
	$(NEWLIB)/obj/memcpy.o $(NEWLIB)/obj/memset.o $(NEWLIB)/obj/newlib_glue.o

# Declarations come from newlib, everything that depends on the compiler from the compiler.
NEWLIB_INC = -nostdinc -isystem $(NEWLIB)/include -isystem $(NEWLIB_C)/include \
	-isystem $(CC_INCLUDE)

# The regions of memory maps are moved about: those bytes go eight at a time.
NEWLIB_CFLAGS = $(if $(filter string/memmove,$*),-O2,-Os) -g1 -w -std=gnu11 -ffreestanding -fno-builtin -mno-red-zone \
	-mgeneral-regs-only -ffunction-sections -fdata-sections -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fPIC -fvisibility=hidden \
	-D_LIBC -D__DYNAMIC_REENT__ -DNO_FLOATING_POINT $(REPRO_CFLAGS) $(NEWLIB_INC)

$(NEWLIB_OK): lib/newlib.mk
	$(if $(NEWLIB_TAR),,$(error newlib-source is not installed: run tools/deps.sh))
	$(call say,UNPACK,$(notdir $(NEWLIB_TAR)))
	$(Q)rm -rf $(NEWLIB)/src $(NEWLIB)/include && mkdir -p $(NEWLIB)/src $(NEWLIB)/include
	$(Q)tar -C $(NEWLIB)/src --strip-components=1 --no-same-owner -xf $(NEWLIB_TAR) --wildcards \
		'*/newlib/libc' '*/COPYING.NEWLIB'
	$(Q)printf '%s\n' '#include <_newlib_version.h>' '#define _WANT_IO_C99_FORMATS 1' \
		'#define _WANT_IO_LONG_LONG 1' > $(NEWLIB)/include/newlib.h
	$(Q)printf '%s\n' '#define _NEWLIB_VERSION "$(NEWLIB_TAR:/usr/src/newlib/newlib-%.tar.xz=%)"' \
		> $(NEWLIB)/include/_newlib_version.h
	$(Q)touch $@

# vfprintf.c is compiled as the version that writes to strings and knows no floating point, under
# the name that snprintf.c calls.
$(NEWLIB)/obj/svfprintf.o: $(NEWLIB_OK) $(FLAGS_STAMP)
	$(call say,CC,newlib/svfprintf.c)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(NEWLIB_CFLAGS) -DSTRING_ONLY -DINTEGER_ONLY \
		-D_svfiprintf_r=_svfprintf_r -c $(NEWLIB_C)/stdio/vfprintf.c -o $@

# Without line numbers, into which clang's assembler would put the build folder's name.
$(NEWLIB)/obj/memcpy.o $(NEWLIB)/obj/memset.o: $(NEWLIB)/obj/%.o: $(NEWLIB_OK) $(FLAGS_STAMP)
	$(call say,AS,newlib/$*.S)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -g%,$(NEWLIB_CFLAGS)) -I$(NEWLIB_C)/machine/x86_64 -Wa,--noexecstack \
		-c $(NEWLIB_C)/machine/x86_64/$*.S -o $@

$(NEWLIB)/obj/newlib_glue.o: lib/newlib_glue.c $(NEWLIB_OK) $(FLAGS_STAMP)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(NEWLIB_CFLAGS) -Wall -Wextra -c $< -o $@

$(NEWLIB)/obj/%.o: $(NEWLIB_OK) $(FLAGS_STAMP)
	$(call say,CC,newlib/$*.c)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(NEWLIB_CFLAGS) -c $(NEWLIB_C)/$*.c -o $@

$(BUILD)/libc.a: $(NEWLIB_OBJS)
	$(call say,AR,$(@F))
	$(Q)rm -f $@ && $(AR) crD $@ $^
