// SPDX-License-Identifier: BSD-2-Clause
// sources: core/decode.c core/emulate.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/decode.h"
#include "core/emulate.h"
#include "core/vcpu.h"

/* What guests execute is arbitrary: the decoder must stay within bounds and keep its promises. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool is_size(uint8_t size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static void check(const struct insn *i, size_t available)
{
	require(i->length > 0 && i->length <= INSN_MAX && i->length <= available);
	require(i->kind != INSN_NONE && is_size(i->size) && is_size(i->reg_size));
	require(i->address_size == 2 || i->address_size == 4 || i->address_size == 8);
	require(i->segment < SEG_COUNT);
	require(i->reg < GPR_COUNT || i->reg == INSN_NO_REG);
	require(i->base < GPR_COUNT || i->base == INSN_NO_REG);
	require(i->index < GPR_COUNT || i->index == INSN_NO_REG);
	require(is_size(i->scale));
	if (i->has_mem && i->kind != INSN_ONLY && i->kind != INSN_UNARY && !i->has_imm)
		require(i->reg != INSN_NO_REG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t gpr[GPR_COUNT], rflags = 2, mem = 0x8000000000000001;
	struct insn insn, again;
	unsigned mode, n;

	if (size == 0)
		return 0;
	mode = data[0] % 3;
	if (insn_decode(data + 1, size - 1, (enum insn_mode)mode, &insn) != OK)
		return 0;
	check(&insn, size - 1);
	/* The same with no byte to spare; with one less there must be something missing. */
	require(insn_decode(data + 1, insn.length, (enum insn_mode)mode, &again) == OK);
	require(memcmp(&insn, &again, sizeof(insn)) == 0);
	require(insn_decode(data + 1, insn.length - 1, (enum insn_mode)mode, &again) == ERR_FAULT);
	for (n = 0; n < GPR_COUNT; n++)
		gpr[n] = n * 0x1111111111111111ull;
	(void)emulate_address(&insn, gpr, 0x1000);
	if (insn.has_mem && insn.kind != INSN_ONLY)
		(void)emulate(&insn, gpr, &rflags, &mem);
	return 0;
}
