/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_WALK_H
#define LAMINA_CORE_WALK_H

#include "core/decode.h"
#include "core/vcpu.h"
#include "x86/regs.h"

/*
 * The guest's own address translation for what is emulated: segmentation and paging as the CPU
 * would do them, with the faults that the CPU would raise.
 */

#define WALK_WRITE BIT(0)
#define WALK_FETCH BIT(1)

/* 16-, 32- or 64-bit code, by EFER.LMA and the code segment. */
static inline enum insn_mode vcpu_mode(const struct vcpu_paging *s)
{
	if ((s->efer & EFER_LMA) && (s->cs_access & SEGMENT_L))
		return INSN_64;
	return (s->cs_access & SEGMENT_DB) ? INSN_32 : INSN_16;
}

/*
 * Guest-linear to guest-physical, for the vCPU's current privilege. Sets accessed and dirty bits.
 * ERR_FAULT: *error is the error code of a #PF for gla; ERR_NOT_FOUND: a paging structure lies
 * outside of the guest's memory, at *gpa. Protection keys are not looked at.
 */
enum status must_check walk_gla(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla,
				unsigned access, gpa_t *gpa, uint32_t *error);

/*
 * Linear address of `size` bytes at seg:offset. ERR_FAULT: *vector is #GP or #SS (error code 0):
 * limit, type or a non-canonical address.
 */
enum status must_check walk_segment(struct vcpu *v, const struct vcpu_paging *s, uint8_t seg,
				    uint64_t offset, size_t size, unsigned access, uint64_t *gla,
				    uint8_t *vector);

/*
 * As vcpu_read_linear and vcpu_write_linear, with the registers at hand. A failure has been
 * injected as #PF, or has stopped the guest where no fault describes it.
 */
enum status must_check walk_read(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla,
				 void *buf, size_t len, unsigned access);
enum status must_check walk_write(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla,
				  const void *buf, size_t len);

/* Would a write of `len` bytes fault? If so, the fault is injected: ERR_FAULT. */
enum status must_check walk_probe_write(struct vcpu *v, const struct vcpu_paging *s, uint64_t gla,
					size_t len);

/* An instruction. */
struct fetched {
	const struct insn *insn; /* until the vCPU's next walk_fetch() or walk_decode() */
	uint8_t count;           /* of `bytes` */
	union {
		uint8_t bytes[INSN_MAX +
			      1]; /* if they are INSN_MAX, then at the end the mode plus 1 */
		uint64_t word[2];
	};
};

/*
 * Fetch and decode the instruction at CS:RIP. ERR_FAULT: a fault was injected. Otherwise the
 * decoder's error.
 */
enum status must_check walk_fetch(struct vcpu *v, const struct vcpu_paging *s, struct fetched *f);

/* Decode f->bytes, of which there are f->count. Errors as those of insn_decode(). */
enum status must_check walk_decode(struct vcpu *v, enum insn_mode mode, struct fetched *f);

/*
 * The `count` bytes at RIP (1 to 15), as the guest would fetch them now, if they lie in one page and
 * no fault is in the way; nothing is injected. False: vcpu_instruction_length() knows what to do.
 */
bool must_check vcpu_fetch_bytes(struct vcpu *v, uint8_t *bytes, unsigned count);

#endif
