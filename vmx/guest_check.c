/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmx/guest_check.h"

#include "vmx/vmx_defs.h"
#include "x86/msr.h"
#include "x86/regs.h"

enum {
	ES,
	CS,
	SS,
	DS,
	FS,
	GS,
	LDTR,
	TR
};

/* Access rights: SDM vol. 3, table 25-2 */
#define TYPE(a)     ((a)&0xf)
#define AR_S        (1u << 4)
#define DPL(a)      (((a) >> 5) & 3)
#define AR_P        (1u << 7)
#define AR_L        (1u << 13)
#define AR_DB       (1u << 14)
#define AR_G        (1u << 15)
#define AR_RESERVED 0xfffe0f00u
#define RPL(s)      ((s)&3)
#define SEL_TI      (1u << 2)

#define TYPE_CODE     (1u << 3)
#define TYPE_READ     (1u << 1) /* of code; write of data */
#define TYPE_ACCESSED (1u << 0)
#define TYPE_DATA_RW  3u

#define DEBUGCTL_RESERVED (~(uint64_t)0xffc3)
#define PENDING_RESERVED  (~(uint64_t)(BIT(16) | BIT(14) | BIT(12) | BIT(11) | 0xf))

static bool long_mode(const struct vmx_guest_state *s)
{
	return s->entry & ENTRY_IA32E_GUEST;
}

static bool canonical(const struct vmx_guest_state *s, uint64_t a)
{
	unsigned shift = 64 - s->linear_bits;

	return (uint64_t)((int64_t)(a << shift) >> shift) == a;
}

static bool usable(const struct vmx_guest_segment *seg)
{
	return !(seg->access & ACCESS_UNUSABLE);
}

static bool unrestricted(const struct vmx_guest_state *s)
{
	return s->proc2 & PROC2_UNRESTRICTED_GUEST;
}

/* 27.3.1.1 */
static const char *check_control_registers(const struct vmx_guest_state *s)
{
	uint64_t fixed0 = s->cr0_fixed0;

	if (unrestricted(s))
		fixed0 &= ~(uint64_t)(CR0_PE | CR0_PG);
	if ((s->cr0 & fixed0) != fixed0 || (s->cr0 & ~s->cr0_fixed1))
		return "CR0: a bit that VMX fixes";
	if ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE))
		return "CR0: PG without PE";
	if ((s->cr4 & s->cr4_fixed0) != s->cr4_fixed0 || (s->cr4 & ~s->cr4_fixed1))
		return "CR4: a bit that VMX fixes";
	if ((s->cr4 & CR4_CET) && !(s->cr0 & CR0_WP))
		return "CR4: CET without CR0.WP";
	if (s->debugctl & DEBUGCTL_RESERVED)
		return "IA32_DEBUGCTL: a reserved bit";
	if (long_mode(s) && !(s->cr0 & CR0_PG))
		return "IA-32e mode without CR0.PG";
	if (long_mode(s) && !(s->cr4 & CR4_PAE))
		return "IA-32e mode without CR4.PAE";
	if (!long_mode(s) && (s->cr4 & CR4_PCIDE))
		return "CR4: PCIDE outside IA-32e mode";
	if (s->cr3 >> s->maxphyaddr)
		return "CR3: beyond the physical address width";
	if (s->dr7 >> 32)
		return "DR7: bits 63:32";
	if (!canonical(s, s->sysenter_esp) || !canonical(s, s->sysenter_eip))
		return "IA32_SYSENTER_ESP or EIP: not canonical";
	return NULL;
}

static const char *check_msrs(const struct vmx_guest_state *s)
{
	const uint64_t known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = (uint8_t)(s->pat >> (8 * i));

		if (type > MEM_TYPE_UC_MINUS || type == 2 || type == 3)
			return "IA32_PAT: an invalid memory type";
	}
	if (s->efer & ~known)
		return "IA32_EFER: a reserved bit";
	if (!!(s->efer & EFER_LMA) != long_mode(s))
		return "IA32_EFER: LMA differs from the IA-32e mode control";
	if ((s->cr0 & CR0_PG) && !(s->efer & EFER_LMA) != !(s->efer & EFER_LME))
		return "IA32_EFER: LMA differs from LME with paging on";
	return NULL;
}

/* Virtual-8086 mode: every segment looks as in real mode (27.3.1.2). */
static const char *check_vm86(const struct vmx_guest_state *s)
{
	for (unsigned i = ES; i <= GS; i++) {
		const struct vmx_guest_segment *seg = &s->seg[i];

		if (seg->base != (uint64_t)seg->selector << 4 || seg->limit != 0xffff ||
		    seg->access != 0xf3)
			return "virtual-8086 mode: a segment's base, limit or access rights";
	}
	return NULL;
}

static const char *check_cs(const struct vmx_guest_state *s)
{
	uint32_t ar = s->seg[CS].access, type = TYPE(ar);
	bool real_type = type == TYPE_DATA_RW && unrestricted(s);

	if (!real_type && (!(type & TYPE_CODE) || !(type & TYPE_ACCESSED)))
		return "CS: type";
	if (real_type && DPL(ar))
		return "CS: data type with DPL not 0";
	if ((type == 9 || type == 11) && DPL(ar) != DPL(s->seg[SS].access))
		return "CS: DPL of non-conforming code differs from SS.DPL";
	if ((type == 13 || type == 15) && DPL(ar) > DPL(s->seg[SS].access))
		return "CS: DPL of conforming code above SS.DPL";
	if (long_mode(s) && (ar & AR_L) && (ar & AR_DB))
		return "CS: L and D/B together";
	return NULL;
}

static const char *check_ss(const struct vmx_guest_state *s)
{
	const struct vmx_guest_segment *ss = &s->seg[SS];
	uint32_t type = TYPE(ss->access);

	if (!unrestricted(s) && RPL(ss->selector) != RPL(s->seg[CS].selector))
		return "SS: RPL differs from CS.RPL";
	if (!unrestricted(s) && DPL(ss->access) != RPL(ss->selector))
		return "SS: DPL differs from RPL";
	if ((TYPE(s->seg[CS].access) == TYPE_DATA_RW || !(s->cr0 & CR0_PE)) && DPL(ss->access))
		return "SS: DPL not 0 in real mode";
	if (usable(ss) && type != 3 && type != 7)
		return "SS: type";
	return NULL;
}

static const char *check_segment(const struct vmx_guest_state *s, unsigned i)
{
	const struct vmx_guest_segment *seg = &s->seg[i];
	uint32_t ar = seg->access, type = TYPE(ar);

	if (i >= FS && !canonical(s, seg->base))
		return "FS or GS: base not canonical";
	if (!usable(seg) && i != CS)
		return NULL;
	if (i < FS && seg->base >> 32)
		return "CS, SS, DS or ES: base above 4 GiB";
	if (!(ar & AR_S))
		return "a segment register holds a system descriptor";
	if (!(ar & AR_P))
		return "a usable segment is not present";
	if (ar & AR_RESERVED)
		return "a segment's access rights: reserved bits";
	if (((seg->limit & 0xfff) != 0xfff && (ar & AR_G)) || (seg->limit >> 20 && !(ar & AR_G)))
		return "a segment's limit contradicts its granularity";
	if (i == CS || i == SS)
		return NULL;
	if (!(type & TYPE_ACCESSED))
		return "DS, ES, FS or GS: not accessed";
	if ((type & TYPE_CODE) && !(type & TYPE_READ))
		return "DS, ES, FS or GS: code that is not readable";
	if (!unrestricted(s) && type <= 11 && DPL(ar) < RPL(seg->selector))
		return "DS, ES, FS or GS: DPL below RPL";
	return NULL;
}

static const char *check_system_segment(const struct vmx_guest_state *s, unsigned i)
{
	const struct vmx_guest_segment *seg = &s->seg[i];
	uint32_t ar = seg->access, type = TYPE(ar);

	if (i == LDTR && !usable(seg))
		return NULL;
	if (!usable(seg))
		return "TR: unusable";
	if (seg->selector & SEL_TI)
		return "TR or LDTR: selector with TI";
	if (!canonical(s, seg->base))
		return "TR or LDTR: base not canonical";
	if (i == LDTR && type != 2)
		return "LDTR: type";
	if (i == TR && type != 11 && (type != 3 || long_mode(s)))
		return "TR: type is not a busy TSS of the mode";
	if ((ar & AR_S) || !(ar & AR_P) || (ar & AR_RESERVED))
		return "TR or LDTR: access rights";
	if (((seg->limit & 0xfff) != 0xfff && (ar & AR_G)) || (seg->limit >> 20 && !(ar & AR_G)))
		return "TR or LDTR: limit contradicts granularity";
	return NULL;
}

/* 27.3.1.2, 27.3.1.3 */
static const char *check_segments(const struct vmx_guest_state *s)
{
	bool vm86 = s->rflags & RFLAGS_VM;
	const char *fault = vm86 ? check_vm86(s) : NULL;

	for (unsigned i = ES; i <= GS && !fault && !vm86; i++)
		fault = check_segment(s, i);
	if (!fault && !vm86)
		fault = check_cs(s);
	if (!fault && !vm86)
		fault = check_ss(s);
	if (!fault)
		fault = check_system_segment(s, LDTR);
	if (!fault)
		fault = check_system_segment(s, TR);
	if (fault)
		return fault;
	if (!canonical(s, s->gdtr_base) || !canonical(s, s->idtr_base))
		return "GDTR or IDTR: base not canonical";
	if (s->gdtr_limit >> 16 || s->idtr_limit >> 16)
		return "GDTR or IDTR: limit above FFFFh";
	return NULL;
}

/* 27.3.1.4 */
static const char *check_rip_rflags(const struct vmx_guest_state *s)
{
	bool code64 = long_mode(s) && (s->seg[CS].access & AR_L);

	if (!code64 && s->rip >> 32)
		return "RIP: above 4 GiB outside 64-bit mode";
	if (code64 && !canonical(s, s->rip))
		return "RIP: not canonical";
	if ((s->rflags & ~BITS(21, 0)) || (s->rflags & (BIT(15) | BIT(5) | BIT(3))) ||
	    !(s->rflags & RFLAGS_RESERVED))
		return "RFLAGS: reserved bits";
	if ((s->rflags & RFLAGS_VM) && (long_mode(s) || !(s->cr0 & CR0_PE)))
		return "RFLAGS: VM in IA-32e or real mode";
	if ((s->event & EVENT_VALID) && EVENT_TYPE(s->event) == EVENT_TYPE_INTERRUPT &&
	    !(s->rflags & RFLAGS_IF))
		return "RFLAGS: IF clear while an interrupt is injected";
	return NULL;
}

static const char *check_blocking(const struct vmx_guest_state *s)
{
	uint32_t b = s->interruptibility;
	bool injects = s->event & EVENT_VALID;
	uint32_t type = EVENT_TYPE(s->event);

	if (b & ~0x1fu)
		return "interruptibility: reserved bits";
	if ((b & BLOCK_STI) && (b & BLOCK_MOV_SS))
		return "interruptibility: STI and MOV SS together";
	if ((b & BLOCK_STI) && !(s->rflags & RFLAGS_IF))
		return "interruptibility: STI with RFLAGS.IF clear";
	if (b & BLOCK_SMI)
		return "interruptibility: SMI blocked outside SMM";
	if (injects && (b & (BLOCK_STI | BLOCK_MOV_SS)) && type == EVENT_TYPE_INTERRUPT)
		return "interruptibility: blocked while an interrupt is injected";
	if (injects && (b & (BLOCK_STI | BLOCK_MOV_SS)) && type == EVENT_TYPE_NMI)
		return "interruptibility: STI or MOV SS while an NMI is injected";
	if (injects && (b & BLOCK_NMI) && type == EVENT_TYPE_NMI && (s->pin & PIN_VIRTUAL_NMIS))
		return "interruptibility: NMI blocked while an NMI is injected";
	return NULL;
}

/* 27.3.1.5 */
static const char *check_non_registers(const struct vmx_guest_state *s)
{
	uint32_t shadow = s->interruptibility & (BLOCK_STI | BLOCK_MOV_SS);
	const char *fault;

	if (s->activity > ACTIVITY_WAIT_SIPI)
		return "activity state: unknown";
	if (s->activity == ACTIVITY_HLT && DPL(s->seg[SS].access))
		return "activity state: HLT with SS.DPL not 0";
	if (s->activity != ACTIVITY_ACTIVE && shadow)
		return "activity state: not active in the shadow of STI or MOV SS";
	fault = check_blocking(s);
	if (fault)
		return fault;
	if (s->pending_debug & PENDING_RESERVED)
		return "pending debug exceptions: reserved bits";
	if (shadow || s->activity == ACTIVITY_HLT) {
		bool step = (s->rflags & RFLAGS_TF) && !(s->debugctl & DEBUGCTL_BTF);

		if (step != !!(s->pending_debug & PENDING_DEBUG_BS))
			return "pending debug exceptions: BS contradicts RFLAGS.TF";
	}
	if (s->link_pointer != ~0ull)
		return "VMCS link pointer";
	return NULL;
}

/* 27.3.1.6 */
static const char *check_pdptes(const struct vmx_guest_state *s)
{
	uint64_t reserved = ~BITS(s->maxphyaddr - 1, 0) | BITS(8, 5) | BITS(2, 1);

	if (!(s->cr0 & CR0_PG) || !(s->cr4 & CR4_PAE) || long_mode(s))
		return NULL;
	for (unsigned i = 0; i < 4; i++) {
		if ((s->pdpte[i] & 1) && (s->pdpte[i] & reserved))
			return "PDPTE: reserved bits";
	}
	return NULL;
}

const char *vmx_check_guest_state(const struct vmx_guest_state *s)
{
	static const char *(*const checks[])(const struct vmx_guest_state *) = {
		check_control_registers, check_msrs,          check_segments,
		check_rip_rflags,        check_non_registers, check_pdptes,
	};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		const char *fault = checks[i](s);

		if (fault)
			return fault;
	}
	return "no rule that is known";
}
