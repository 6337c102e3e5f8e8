/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cpuid.h"

#include <string.h>

#include "core/guest.h"
#include "core/hvm.h"
#include "core/hw.h"
#include "panic.h"
#include "x86/cpuid.h"
#include "x86/msr.h"
#include "x86/regs.h"
#include "x86/tsc.h"

/*
 * Default deny: bits that reach the guest are listed, SDM vol. 2 "CPUID" and APM vol. 3 appendix E.
 * A guest may use every instruction that needs nobody's help. Hidden is
 *  - what would have to be nested or shared: VMX, SVM, SMX, SGX, PT, LBRs, PMU (PDCM, leaf 0Ah,
 *    PERFCTR_*), IBS, RDT, SEV, key locker, ENQCMD;
 *  - what reaches beyond the core: thermal control, HWP, C-states (MONITOR, MWAIT, WAITPKG), MCA
 *    extensions, split-lock and other core-wide MSRs (CORE_CAPABILITIES, SRBDS_CTRL), TSC_ADJUST;
 *  - supervisor state that no vendor code switches: CET, PKS, UINTR, FRED, LAM;
 *  - MPX, which no CPU has had since 2019.
 */
#define ALL  0xffffffffu
#define NONE 0

/* CPUID.1:EDX: all but PSN (18), DS (21), ACPI (22), IA64, TM (29) and PBE (31). */
#define LEAF1_EDX (BITS(9, 0) | BITS(17, 11) | BIT(19) | BITS(28, 23))
/*
 * SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 x2APIC MOVBE POPCNT DEADLINE AES XSAVE AVX F16C
 * RDRAND
 */
#define LEAF1_ECX (BITS(1, 0) | BIT(9) | BITS(13, 12) | BIT(17) | BITS(26, 19) | BITS(30, 28))
/*
 * FSGSBASE BMI1 HLE AVX2 FDP SMEP BMI2 ERMS INVPCID RTM ZERO_FCS AVX512* RDSEED ADX SMAP CLFLUSHOPT
 * CLWB SHA
 */
#define LEAF7_EBX (BIT(0) | BITS(11, 3) | BIT(13) | BITS(21, 16) | BITS(24, 23) | BITS(31, 26))
/*
 * VBMI UMIP PKU VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ LA57 RDPID CLDEMOTE MOVDIRI
 * MOVDIR64B
 */
#define LEAF7_ECX \
	(BITS(3, 0) | BIT(6) | BITS(12, 8) | BIT(14) | BIT(16) | BIT(22) | BIT(25) | BITS(28, 27))
/*
 * 4VNNIW 4FMAPS FSRM VP2INTERSECT MD_CLEAR RTM_ALWAYS_ABORT SERIALIZE TSXLDTRK AMX_BF16 FP16 AMX_TILE
 * AMX_INT8 IBRS STIBP L1D_FLUSH ARCH_CAPABILITIES SSBD
 */
#define LEAF7_EDX (BITS(4, 2) | BIT(8) | BITS(11, 10) | BIT(14) | BIT(16) | BITS(29, 22) | BIT(31))
/* AVX_VNNI AVX512_BF16 CMPCCXADD FZRM FSRS FSRCS AMX_FP16 AVX_IFMA */
#define LEAF7_1_EAX (BITS(5, 3) | BIT(7) | BITS(12, 10) | BIT(21) | BIT(23))
/* AVX_VNNI_INT8 AVX_NE_CONVERT AVX_VNNI_INT16 PREFETCHI */
#define LEAF7_1_EDX (BITS(5, 4) | BIT(10) | BIT(14))
/* PSFD IPRED_CTRL RRSBA_CTRL DDPD_U BHI_CTRL MCDT_NO: bits of SPEC_CTRL, which is passed through */
#define LEAF7_2_EDX BITS(5, 0)
/* XSAVEOPT XSAVEC XGETBV1 XSAVES XFD */
#define LEAFD_1_EAX BITS(4, 0)
/* LAHF CMP_LEGACY CR8LEGACY ABM SSE4A MISALIGNSSE 3DNOWP XOP FMA4 TCE TBM TOPOEXT */
#define LEAF81_ECX (BITS(1, 0) | BITS(8, 4) | BIT(11) | BITS(17, 16) | BITS(22, 21))
/* The mirror of leaf 1 and SYSCALL NX MMXEXT FXSR_OPT PAGE1GB RDTSCP LM 3DNOWEXT 3DNOW */
#define LEAF81_EDX \
	((LEAF1_EDX & 0x0183f3ff) | BIT(11) | BIT(20) | BIT(22) | BITS(27, 25) | BITS(31, 29))
/*
 * CLZERO XSAVEERPTR WBNOINVD IBPB IBRS STIBP and their hints, LMSLE_UNSUPP SSBD SSB_NO PSFD BTC_NO
 * IBPB_RET
 */
#define LEAF88_EBX \
	(BIT(0) | BIT(2) | BIT(9) | BIT(12) | BITS(20, 14) | BIT(24) | BIT(26) | BITS(30, 28))
/* NO_NESTED_DATA_BP LFENCE_RDTSC VERW_CLEAR NULL_SEL_CLR_BASE AUTO_IBRS SBPB IBPB_BRTYPE SRSO_NO */
#define LEAF8021_EAX (BIT(0) | BIT(2) | BITS(6, 5) | BIT(8) | BITS(29, 27))
/* TSA_SQ_NO TSA_L1_NO */
#define LEAF8021_ECX BITS(2, 1)

struct leaf {
	uint32_t leaf;
	uint32_t
		subleaves; /* 1: the leaf has none, whatever is in ECX; otherwise subleaves 0 to n-1 */
	uint8_t rows;      /* so many of them are in a vCPU's table */
	uint32_t allow[4];
	void (*fix)(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r);
};

/* The row that complete() makes the answer, or NULL: the table has none. */
static const struct cpuid_regs *live_row(const struct cpuid_table *t, uint32_t leaf,
					 uint32_t subleaf)
{
	uint32_t place = cpuid_place(leaf);
	const struct cpuid_place *p;

	if (place >= CPUID_PLACES)
		return NULL;
	p = &t->places[place];
	subleaf &= (uint32_t)p->indexed;
	return subleaf < p->live ? &t->rows[p->row + subleaf] : NULL;
}

/* The guest's cores whose APIC id equals this one's above the lowest `shift` bits. */
static uint32_t cores_sharing(const struct vcpu *v, uint32_t shift)
{
	const struct guest *g = v->guest;
	uint32_t i, n = 0;

	for (i = 0; i < g->vcpu_count; i++)
		n += ((uint64_t)(g->vcpus[i]->apic_id ^ v->apic_id) >> shift) == 0;
	return n;
}

static void set_max(struct cpuid_regs *r, uint32_t ours)
{
	if (r->eax > ours)
		r->eax = ours;
}

static void fix_0(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)v;
	(void)subleaf;
	set_max(r, 0x1f);
}

static void fix_1(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)subleaf;
	r->ecx |= BIT(31);
	r->ebx = (r->ebx & 0x00ffffff) | (v->apic_id << 24);
	if (v->guest->vcpu_count == 1) {
		r->ebx = (r->ebx & 0xff00ffff) | (1 << 16);
		r->edx &= ~(uint32_t)BIT(28);
	}
}

/* Caches keep their true sharing: with true APIC ids it comes out right for the guest's cores. */
static void fix_4(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)subleaf;
	if (v->guest->vcpu_count == 1)
		r->eax &= 0x03ffffff;
}

/*
 * ARAT: the APIC timer never stops, because HLT is the deepest idle state that a guest can reach
 * and C1 keeps the timer going on every CPU with VMX and EPT or SVM and NPT.
 */
static void fix_6(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)v;
	(void)subleaf;
	r->eax = BIT(2);
}

static void fix_7(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)v;
	if (subleaf == 0)
		set_max(r, 2);
}

/* Topology: the shifts must stay true as they cut up true APIC ids; the counts are the guest's. */
static void fix_b(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	r->edx = v->apic_id;
	if (((r->ecx >> 8) & 0xff) == 0) {
		r->eax = 0;
		r->ebx = 0;
		r->ecx = subleaf & 0xff;
		return;
	}
	r->ebx = cores_sharing(v, r->eax & 0x1f);
}

static uint64_t xcr0_mask(void)
{
	struct cpuid_regs r = hw_cpuid(0xd, 0);
	uint64_t usable = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_OPMASK | XCR0_ZMM_HI256 |
			  XCR0_HI16_ZMM | XCR0_PKRU | XCR0_TILECFG | XCR0_TILEDATA;

	return (((uint64_t)r.edx << 32) | r.eax) & usable;
}

/*
 * Size of the XSAVE area for all components in `mask`, in standard or in compacted format (SDM
 * vol. 1, 13.4.3): there each component follows the one before, on 64 bytes if ECX bit 1 says so.
 */
static uint32_t xsave_size(const struct vcpu *v, uint64_t mask, bool compacted)
{
	uint32_t size = 512 + 64;

	for (mask &= ~(XCR0_X87 | XCR0_SSE); mask; mask &= mask - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(mask);
		const struct cpuid_regs *row = live_row(&v->cpuid, 0xd, i);
		struct cpuid_regs r = row ? *row : hw_cpuid(0xd, i);

		if (!compacted)
			size = (uint32_t)max_u64(size, r.ebx + r.eax);
		else
			size = (r.ecx & BIT(1) ? (uint32_t)ALIGN_UP(size, 64) : size) + r.eax;
	}
	return size;
}

static void fix_d(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	uint64_t mask = xcr0_mask();

	if (subleaf == 0) {
		r->eax = (uint32_t)mask;
		r->ebx = 0;
		r->ecx = xsave_size(v, mask, false);
		r->edx = (uint32_t)(mask >> 32);
	} else if (subleaf == 1) {
		r->eax &= (uint32_t)LEAFD_1_EAX;
		r->ebx = 0;
		r->ecx = 0; /* no supervisor state through XSS */
		r->edx = 0;
	} else if (!(mask & BIT(subleaf))) {
		*r = (struct cpuid_regs){ 0, 0, 0, 0 };
	}
}

static void fix_8000_0000(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)v;
	(void)subleaf;
	set_max(r, 0x80000021);
}

static void fix_8000_0001(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)subleaf;
	if (v->guest->vcpu_count == 1)
		r->ecx &= ~(uint32_t)BIT(1);
}

static void fix_8000_0008(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	(void)subleaf;
	if (hw_vendor() == CPU_VENDOR_INTEL)
		return;
	r->ecx = (r->ecx & 0xf000) | (v->guest->vcpu_count - 1);
}

/* AMD's thread and node numbers; the count of threads is the guest's. */
static void fix_8000_001e(const struct vcpu *v, uint32_t subleaf, struct cpuid_regs *r)
{
	uint32_t threads = ((r->ebx >> 8) & 0xff) + 1;
	uint32_t shift = threads > 1 ? 1 : 0;

	(void)subleaf;
	r->eax = v->apic_id;
	r->ebx = (r->ebx & 0xff) | ((cores_sharing(v, shift) - 1) << 8);
}

static const struct leaf leaves[] = {
	{ 0x00000000, 1, 1, { ALL, ALL, ALL, ALL }, fix_0 },
	{ 0x00000001, 1, 1, { ALL, ALL, LEAF1_ECX, LEAF1_EDX }, fix_1 },
	{ 0x00000002, 1, 1, { ALL, ALL, ALL, ALL }, NULL },
	{ 0x00000004, 16, 8, { ALL, ALL, ALL, ALL }, fix_4 },
	{ 0x00000006, 1, 1, { NONE, NONE, NONE, NONE }, fix_6 },
	{ 0x00000007, 3, 3, { ALL, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX }, fix_7 },
	{ 0x0000000b, ~0u, 4, { ALL, ALL, ALL, ALL }, fix_b },
	{ 0x0000000d, 63, 20, { ALL, ALL, ALL, ALL }, fix_d },
	{ 0x00000018, 32, 8, { ALL, ALL, ALL, ALL }, NULL }, /* TLB parameters */
	{ 0x0000001d, 2, 2, { ALL, ALL, ALL, ALL }, NULL },  /* AMX tiles */
	{ 0x0000001e, 1, 1, { NONE, ALL, NONE, NONE }, NULL },
	{ 0x0000001f, ~0u, 6, { ALL, ALL, ALL, ALL }, fix_b },
	{ 0x80000000, 1, 1, { ALL, ALL, ALL, ALL }, fix_8000_0000 },
	{ 0x80000001, 1, 1, { ALL, ALL, LEAF81_ECX, LEAF81_EDX }, fix_8000_0001 },
	{ 0x80000002, 1, 1, { ALL, ALL, ALL, ALL }, NULL }, /* brand string */
	{ 0x80000003, 1, 1, { ALL, ALL, ALL, ALL }, NULL },
	{ 0x80000004, 1, 1, { ALL, ALL, ALL, ALL }, NULL },
	{ 0x80000005, 1, 1, { ALL, ALL, ALL, ALL }, NULL }, /* caches and TLBs */
	{ 0x80000006, 1, 1, { ALL, ALL, ALL, ALL }, NULL },
	{ 0x80000007, 1, 1, { NONE, NONE, NONE, BIT(8) }, NULL }, /* invariant TSC */
	{ 0x80000008, 1, 1, { 0xffff, LEAF88_EBX, 0xffff, NONE }, fix_8000_0008 },
	{ 0x80000019, 1, 1, { ALL, ALL, NONE, NONE }, NULL },
	{ 0x8000001a, 1, 1, { ALL, NONE, NONE, NONE }, NULL },
	{ 0x8000001d, 16, 8, { ALL, ALL, ALL, ALL }, fix_4 },
	{ 0x8000001e, 1, 1, { ALL, ALL, ALL, NONE }, fix_8000_001e },
	{ 0x80000021, 1, 1, { LEAF8021_EAX, NONE, LEAF8021_ECX, NONE }, NULL },
};

/* Leaf 7 has a mask for each subleaf, unlike all others. */
static void mask_7(uint32_t subleaf, struct cpuid_regs *r)
{
	static const uint32_t allow[2][4] = {
		{ LEAF7_1_EAX, NONE, NONE, LEAF7_1_EDX },
		{ NONE, NONE, NONE, LEAF7_2_EDX },
	};
	const uint32_t *a;

	if (subleaf > ARRAY_SIZE(allow)) {
		*r = (struct cpuid_regs){ 0, 0, 0, 0 };
		return;
	}
	a = allow[subleaf - 1];
	r->eax &= a[0];
	r->ebx &= a[1];
	r->ecx &= a[2];
	r->edx &= a[3];
}

static struct cpuid_regs signature(uint32_t max, const char text[12])
{
	const uint8_t *s = (const uint8_t *)text;
	uint32_t w[3], i;

	for (i = 0; i < 3; i++, s += 4)
		w[i] = s[0] | s[1] << 8 | s[2] << 16 | (uint32_t)s[3] << 24;
	return (struct cpuid_regs){ max, w[0], w[1], w[2] };
}

/*
 * VMware's leaves, for the frequencies and the way to make a hypercall: bit 0 of ECX stands for
 * VMMCALL, bit 1 for VMCALL. Lamina's own follow in the next group of 256.
 */
static struct cpuid_regs hypervisor_leaf(const struct vcpu *v, uint32_t leaf)
{
	struct cpuid_regs r = { 0, 0, 0, 0 };

	switch (leaf) {
	case CPUID_VMWARE_BASE:
		return signature(CPUID_VMWARE_MAX, "VMwareVMware");
	case CPUID_VMWARE_MAX:
		r.eax = tsc_khz();
		r.ebx = lapic_timer_hz() / 1000;
		r.ecx = hw_vendor() == CPU_VENDOR_INTEL ? 2 : 1;
		return r;
	case CPUID_LAMINA_BASE:
		return signature(CPUID_LAMINA_MAX, "LaminaLamina");
	case CPUID_LAMINA_MAX:
		r.eax = LAMINA_INTERFACE;
		r.ebx = v->guest->index;
		r.ecx = v->guest->vcpu_count;
		r.edx = v->index;
		return r;
	}
	return r;
}

/* ------------------------------------------------------------------ answers */

/* By the list, without what complete() adds. */
static struct cpuid_regs define(const struct vcpu *v, const struct leaf *l, uint32_t subleaf)
{
	struct cpuid_regs r = { 0, 0, 0, 0 };

	if (l->subleaves == 1)
		subleaf = 0;
	if (subleaf >= l->subleaves)
		return r;
	r = hw_cpuid(l->leaf, subleaf);
	if (l->leaf == 7 && subleaf > 0) {
		mask_7(subleaf, &r);
		return r;
	}
	r.eax &= l->allow[0];
	r.ebx &= l->allow[1];
	r.ecx &= l->allow[2];
	r.edx &= l->allow[3];
	/* A leaf that this CPU lacks stays zero. */
	if (l->fix && (r.eax | r.ebx | r.ecx | r.edx || l->leaf == 6))
		l->fix(v, subleaf, &r);
	return r;
}

static bool is_live(uint32_t leaf)
{
	return leaf == 1 || leaf == 7 || leaf == 0xd || leaf == 0x80000001;
}

/*
 * What the guest changes while it runs. EBX of leaf 0Dh, subleaves 0 and 1, is the size for the
 * current XCR0, which is the guest's: the hypervisor never changes it. (Computed, because an
 * emulator's subleaf 1 gives the size of subleaf 0.)
 */
static noinline void complete(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	bool known = r->eax | r->ebx | r->ecx | r->edx;

	switch (leaf) {
	case 1:
		if (known && (hvm->get_cr4(v) & CR4_OSXSAVE))
			r->ecx |= BIT(27);
		if (!(v->apic_base & APIC_BASE_EN))
			r->edx &= ~(uint32_t)BIT(9);
		break;
	case 7:
		if (subleaf == 0 && (r->ecx & BIT(3)) && (hvm->get_cr4(v) & CR4_PKE))
			r->ecx |= BIT(4);
		break;
	case 0xd:
		if (subleaf == 0 && known)
			r->ebx = xsave_size(v, hw_xcr0(), false);
		else if (subleaf == 1 && (r->eax & (BIT(1) | BIT(3))))
			r->ebx = xsave_size(v, hw_xcr0(), true);
		break;
	case 0x80000001:
		if (!(v->apic_base & APIC_BASE_EN))
			r->edx &= ~(uint32_t)BIT(9);
		break;
	}
}

struct cpuid_regs cpuid_look_up(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = { 0, 0, 0, 0 };

	if (leaf >> 16 == CPUID_LEAF_HYPERVISOR >> 16)
		return hypervisor_leaf(v, leaf);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		if (leaves[i].leaf != leaf)
			continue;
		r = define(v, &leaves[i], subleaf);
		complete(v, leaf, subleaf, &r);
	}
	return r;
}

void cpuid_prepare(struct vcpu *v)
{
	struct cpuid_table *t = &v->cpuid;
	uint8_t used = 1;

	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		const struct leaf *l = &leaves[i];
		struct cpuid_place p = { .row = used, .indexed = l->subleaves > 1 ? -1 : 0 };

		ASSERT(used + l->rows <= CPUID_ROWS);
		for (uint32_t subleaf = 0; subleaf < l->rows; subleaf++)
			t->rows[used++] = define(v, l, subleaf);
		*(is_live(l->leaf) ? &p.live : &p.ready) = l->rows;
		t->places[cpuid_place(l->leaf)] = p;
	}
	/* All others are zero, as the first row is. */
	for (uint32_t i = 0; i < CPUID_PLACES; i++)
		t->places[i].ready |= !t->places[i].row;
}

struct cpuid_regs guest_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_regs *row = cpuid_row(&v->cpuid, leaf, subleaf);
	struct cpuid_regs r;

	if (row)
		return *row;
	row = live_row(&v->cpuid, leaf, subleaf);
	if (!row)
		return cpuid_look_up(v, leaf, subleaf);
	r = *row;
	complete(v, leaf, subleaf, &r);
	return r;
}

uint64_t guest_xcr0_mask(const struct vcpu *v)
{
	const struct cpuid_regs *row = live_row(&v->cpuid, 0xd, 0);

	return row ? (uint64_t)row->edx << 32 | row->eax : xcr0_mask();
}

bool guest_has(struct vcpu *v, uint64_t feature)
{
	struct cpuid_regs r = guest_cpuid(v, (uint32_t)feature, (feature >> 32) & 0xff);
	uint32_t w[] = { r.eax, r.ebx, r.ecx, r.edx };

	return (w[(feature >> 40) & 3] >> ((feature >> 48) & 31)) & 1;
}

void vcpu_cpuid_slowly(struct vcpu *v)
{
	struct cpuid_regs r = guest_cpuid(v, (uint32_t)v->gpr[GPR_RAX], (uint32_t)v->gpr[GPR_RCX]);

	v->gpr[GPR_RAX] = r.eax;
	v->gpr[GPR_RBX] = r.ebx;
	v->gpr[GPR_RCX] = r.ecx;
	v->gpr[GPR_RDX] = r.edx;
}
