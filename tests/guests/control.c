// SPDX-License-Identifier: BSD-2-Clause
/*
 * What must work as on the bare machine although the hypervisor takes part: writes of control
 * registers that exit, single steps over instructions that it carries out, debug exceptions that
 * it reflects, the shadow of STI, PAE paging; and the instructions of VMX and SMX do not exist.
 */
#include "guest.h"
#include "x86/msr.h"
#include "x86/regs.h"

static uint8_t try_cr0(uint64_t v)
{
	uint8_t vector;

	__asm__ volatile(TRY("mov %[v], %%cr0")
			 : [vector] "=&r"(vector)
			 : [v] "r"(v)
			 : "rax", "memory");
	return vector;
}

static uint8_t try_cr4(uint64_t v)
{
	uint8_t vector;

	__asm__ volatile(TRY("mov %[v], %%cr4")
			 : [vector] "=&r"(vector)
			 : [v] "r"(v)
			 : "rax", "memory");
	return vector;
}

static void test_cr0(void)
{
	uint64_t cr0 = read_cr0(), smsw;

	check(try_cr0(cr0 | CR0_CD) == NO_FAULT && read_cr0() == (cr0 | CR0_CD), "CR0.CD sets");
	check(try_cr0(cr0 | CR0_CD | CR0_NW) == NO_FAULT && read_cr0() == (cr0 | CR0_CD | CR0_NW),
	      "CR0.NW sets with CD");
	check(try_cr0(cr0 | CR0_NW) == VEC_GP, "CR0.NW without CD is #GP");
	check(try_cr0(cr0) == NO_FAULT && read_cr0() == cr0, "CR0.CD and NW clear");
	check(try_cr0(cr0 & ~(uint64_t)CR0_NE) == NO_FAULT &&
		      read_cr0() == (cr0 & ~(uint64_t)CR0_NE),
	      "CR0.NE clears");
	check(try_cr0(cr0 | CR0_NE) == NO_FAULT && (read_cr0() & CR0_NE), "CR0.NE sets");
	check(try_cr0((cr0 | CR0_CD) & ~(uint64_t)CR0_PE) == VEC_GP, "CR0.PE=0 with paging is #GP");
	check(try_cr0((cr0 ^ CR0_CD) & ~(uint64_t)CR0_PG) == VEC_GP,
	      "CR0.PG=0 in 64-bit mode is #GP");
	check(try_cr0((cr0 ^ CR0_NE) | 1ull << 32) == VEC_GP, "CR0 bit 32 is #GP");
	check(read_cr0() == (cr0 | CR0_NE), "a refused write leaves CR0 alone");
	__asm__ volatile("lmsw %w0" : : "r"((uint16_t)((cr0 & 0xf) | CR0_TS)));
	__asm__ volatile("smsw %0" : "=r"(smsw));
	check((smsw & CR0_TS) && (read_cr0() & CR0_TS), "LMSW sets TS");
	__asm__ volatile("clts");
	check(!(read_cr0() & CR0_TS), "CLTS clears TS");
	write_cr0(cr0);
}

static void test_cr4(void)
{
	uint64_t cr4 = read_cr4();

	check(!(cr4 & CR4_VMXE), "CR4.VMXE reads 0");
	check(try_cr4(cr4 | CR4_VMXE) == VEC_GP, "CR4.VMXE is #GP");
	check(try_cr4(cr4 | CR4_SMXE) == VEC_GP, "CR4.SMXE is #GP");
	check(try_cr4(cr4 | 1ull << 31) == VEC_GP, "a reserved bit of CR4 is #GP");
	check(try_cr4(cr4 | 1ull << 63) == VEC_GP, "bit 63 of CR4 is #GP");
	check(try_cr4((cr4 ^ CR4_MCE) & ~(uint64_t)CR4_PAE) == VEC_GP,
	      "CR4.PAE=0 in long mode is #GP");
	check(try_cr4(cr4 ^ CR4_MCE) == NO_FAULT && read_cr4() == (cr4 ^ CR4_MCE),
	      "CR4.MCE changes");
	check(try_cr4(cr4 ^ CR4_PGE ^ CR4_TSD) == NO_FAULT &&
		      read_cr4() == (cr4 ^ CR4_PGE ^ CR4_TSD),
	      "CR4.MCE changes back together with PGE and TSD");
	check(try_cr4(cr4) == NO_FAULT && read_cr4() == cr4, "CR4 goes back");
}

static uint8_t scratch[4096] aligned(4096);

#define REFUSED(insn)                                                                \
	do {                                                                         \
		uint8_t vector;                                                      \
		uint64_t a = (uint64_t)scratch, c = 0, d = 0;                        \
		__asm__ volatile(TRY(insn)                                           \
				 : [vector] "=&b"(vector), "+a"(a), "+c"(c), "+d"(d) \
				 :                                                   \
				 : "memory", "cc");                                  \
		check(vector == VEC_UD, "%s is #UD", insn);                          \
	} while (0)

static void test_refused(void)
{
	REFUSED("vmxoff");
	REFUSED("vmlaunch");
	REFUSED("vmresume");
	REFUSED("vmptrld (%%rax)");
	REFUSED("vmptrst (%%rax)");
	REFUSED("vmclear (%%rax)");
	REFUSED("vmxon (%%rax)");
	REFUSED("vmread %%rax, %%rcx");
	REFUSED("vmwrite %%rax, %%rcx");
	REFUSED("invept (%%rax), %%rcx");
	REFUSED("invvpid (%%rax), %%rcx");
	REFUSED("vmfunc");
	REFUSED("getsec");
	REFUSED("rsm");
}

/* ---- Debug exceptions ---- */

#define DR6_BS BIT(14)
#define DR6_BD BIT(13)
#define DR7_GD BIT(13)

static uint32_t db_count;
static uint64_t db_rip[16], db_dr6[16];

static uint64_t read_dr6(void)
{
	uint64_t v;

	__asm__ volatile("mov %%dr6, %0" : "=r"(v));
	return v;
}

static void write_dr6(uint64_t v)
{
	__asm__ volatile("mov %0, %%dr6" : : "r"(v) : "memory");
}

static void write_dr7(uint64_t v)
{
	__asm__ volatile("mov %0, %%dr7" : : "r"(v) : "memory");
}

static void on_debug(struct frame *f)
{
	if (db_count < ARRAY_SIZE(db_rip)) {
		db_rip[db_count] = f->rip;
		db_dr6[db_count] = read_dr6();
	}
	db_count++;
	write_dr6(DR6_RESET);
}

extern const char step_begin[], step_1[], step_2[], step_3[], step_4[], step_5[];

/*
 * Behind POPF with TF each instruction traps, also those that the hypervisor carries out: NOP,
 * CPUID, IN, RDMSR, and at last POPF, which ends it.
 */
static void test_single_step(void)
{
	const char *const ends[] = { step_1, step_2, step_3, step_4, step_5 };
	uint32_t leaf = 0, subleaf = 0;
	bool good = true;

	db_count = 0;
	__asm__ volatile("pushfq\n"
			 "pushfq\n"
			 "orq $0x100, (%%rsp)\n"
			 "popfq\n"
			 ".globl step_begin, step_1, step_2, step_3, step_4, step_5\n"
			 "step_begin: nop\n"
			 "step_1: cpuid\n"
			 "step_2: mov $0x3fd, %%edx; in %%dx, %%al\n"
			 "mov $0xc0000080, %%ecx\n"
			 "step_3: rdmsr\n"
			 "step_4: popfq\n"
			 "step_5:\n"
			 : "+a"(leaf), "+c"(subleaf)
			 :
			 : "rbx", "rdx", "memory", "cc");
	for (unsigned i = 0, n = 0; i < ARRAY_SIZE(ends); i++) {
		while (n < db_count && n < ARRAY_SIZE(db_rip) && db_rip[n] != (uint64_t)ends[i])
			n++;
		good &= n < db_count && n < ARRAY_SIZE(db_rip);
	}
	for (unsigned i = 0; i < db_count && i < ARRAY_SIZE(db_rip); i++)
		good &= !!(db_dr6[i] & DR6_BS);
	check(good && db_count == 7, "single steps over CPUID, IN and RDMSR: %u traps", db_count);
	for (unsigned i = 0; !good && i < db_count && i < ARRAY_SIZE(db_rip); i++)
		say("at %+lld, DR6 %#llx", (long long)(db_rip[i] - (uint64_t)step_begin),
		    (unsigned long long)db_dr6[i]);
}

static void test_debug_events(void)
{
	uint8_t vector;

	/* General detect: reading a debug register faults and clears GD. */
	write_dr6(DR6_RESET);
	write_dr7(DR7_RESET | DR7_GD);
	set_handler(VEC_DB, NULL);
	__asm__ volatile(TRY("mov %%dr0, %%rcx")
			 : [vector] "=&b"(vector)
			 :
			 : "rax", "rcx", "memory");
	set_handler(VEC_DB, on_debug);
	check(vector == VEC_DB && (read_dr6() & DR6_BD), "DR7.GD raises #DB with BD");
	write_dr6(DR6_RESET);

	db_count = 0;
	__asm__ volatile(".byte 0xf1" : : : "memory"); /* INT1 */
	check(db_count == 1 && !(db_dr6[0] & DR6_BS), "INT1 raises #DB");
}

/* ---- Interrupt shadow ---- */

static uint64_t irq_rip;

static void on_ipi(struct frame *f)
{
	irq_rip = f->rip;
	apic_eoi();
}

#define ICR_SELF (BIT(18) | BIT(14))

extern const char shadow_after[];

/* STI; CPUID: the shadow ends with CPUID although the hypervisor has executed it. */
static void test_sti_shadow(void)
{
	uint32_t leaf = 0, subleaf = 0;

	apic_init(false);
	set_handler(VECTOR_IPI, on_ipi);
	apic_send(VECTOR_IPI | ICR_SELF, 0);
	__asm__ volatile("sti\n"
			 "cpuid\n"
			 ".globl shadow_after\n"
			 "shadow_after: nop\n"
			 "nop\n"
			 "cli\n"
			 : "+a"(leaf), "+c"(subleaf)
			 :
			 : "rbx", "rdx", "memory");
	check(irq_rip == (uint64_t)shadow_after, "the shadow of STI ends behind CPUID (%+lld)",
	      (long long)(irq_rip - (uint64_t)shadow_after));
}

/* ---- 32-bit PAE paging ---- */

/*
 * From 64-bit mode through compatibility mode to protected mode without paging, on to PAE paging,
 * where CR4.MCE and CR0.CD are changed (writes that exit and load the PDPTEs), and back. Returns
 * bits: 1 arrived, 2 CR4.MCE, 4 CR0.CD, 8 a PDPTE written to memory counts after CR0.CD changed.
 */
uint32_t visit_pae(uint64_t pdpt);

__asm__(".pushsection .data\n"
	".balign 16\n"
	"pae_gdt: .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff\n"
	"pae_gdtr: .word 39\n"
	"   .quad pae_gdt\n"
	"pae_cr3: .quad 0\n"
	"pae_old: .word 0\n"
	"   .quad 0\n"
	".popsection\n"
	".pushsection .text\n"
	".globl visit_pae\n"
	"visit_pae:\n"
	"	push %rbx; push %rbp\n"
	"	sgdt pae_old\n"
	"	lgdt pae_gdtr\n"
	"	mov %cr3, %rax; mov %rax, pae_cr3\n"
	"	mov %rsp, %rbp\n"
	"	xor %esi, %esi\n"
	"	push $0x20; push $1f; lretq\n"
	"	.code32\n"
	"1:	mov $0x18, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
	"	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
	"	mov $0xc0000080, %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
	"	mov %edi, %cr3\n"
	"	mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
	"	or $1, %esi\n"
	"	mov %cr4, %eax; xor $0x40, %eax; mov %eax, %cr4\n"
	"	mov %cr4, %ebx; cmp %eax, %ebx; jne 2f; or $2, %esi\n"
	"2:	xor $0x40, %eax; mov %eax, %cr4\n"
	"	mov %cr0, %eax; or $0x40000000, %eax; mov %eax, %cr0\n"
	"	mov %cr0, %ebx; cmp %eax, %ebx; jne 3f; or $4, %esi\n"
	/* PDPTE 3 now maps the first gigabyte, too. */
	"3:	mov (%edi), %eax; mov %eax, 24(%edi); mov 4(%edi), %eax; mov %eax, 28(%edi)\n"
	"	mov %cr0, %eax; and $0xbfffffff, %eax; mov %eax, %cr0\n"
	"	mov 0x200000, %eax; cmp 0xc0200000, %eax; jne 4f; or $8, %esi\n"
	"4:	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
	"	mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
	"	mov pae_cr3, %eax; mov %eax, %cr3\n"
	"	mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
	"	ljmp $0x10, $5f\n"
	"	.code64\n"
	"5:	mov %rbp, %rsp\n"
	"	lgdt pae_old\n"
	"	mov $0x18, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
	"	mov %esi, %eax\n"
	"	pop %rbp; pop %rbx\n"
	"	ret\n"
	".popsection\n");

static uint64_t pae_directory[512] aligned(4096);
static uint64_t pae_pdpt[4] aligned(32);

static void test_pae(void)
{
	uint32_t reached;

	for (unsigned i = 0; i < 512; i++)
		pae_directory[i] = (uint64_t)i << 21 | 0x83;
	pae_pdpt[0] = (uint64_t)pae_directory | 1;
	reached = visit_pae((uint64_t)pae_pdpt);
	check(reached & 1, "32-bit PAE paging is reached and left");
	check(reached & 2, "CR4.MCE changes under PAE paging");
	check(reached & 4, "CR0.CD changes under PAE paging");
	check(reached & 8, "a write of CR0.CD loads the PDPTEs");
}

void guest_main(void)
{
	set_handler(VEC_DB, on_debug);
	test_cr0();
	test_cr4();
	test_refused();
	test_single_step();
	test_debug_events();
	test_sti_shadow();
	test_pae();
}
