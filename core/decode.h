/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_DECODE_H
#define LAMINA_CORE_DECODE_H

#include "core/vcpu.h"
#include "types.h"

/*
 * Bytes of the instruction at the vCPU's RIP, 1 to 15, fetched through the guest's own paging; for
 * exits whose instruction's length the hardware does not tell. 0 if the bytes cannot be fetched or
 * are no instruction: the guest changed them behind its own back.
 */
uint8_t vcpu_instruction_length(struct vcpu *v);

#endif
