// SPDX-License-Identifier: BSD-2-Clause
/*
 * The CPU as the guest sees it: what is denied raises the exception of a CPU without it, what exits
 * leaves all registers alone, and debug exceptions, NMIs and privileged state work as on the bare
 * machine.
 */
#include "guest.h"
#include "x86/msr.h"
#include "x86/regs.h"

#define UNUSED_PORT 0x80
#define DR6_BS      BIT(14)

static bool is_amd(void)
{
	return cpuid(0, 0).ecx == 0x444d4163;
}

static uint64_t read_dr6(void)
{
	uint64_t v;

	__asm__ volatile("mov %%dr6, %0" : "=r"(v));
	return v;
}

static void write_dr6(uint64_t v)
{
	__asm__ volatile("mov %0, %%dr6" : : "r"(v));
}

/* ---- Denied instructions ---- */

/* Runs an instruction with a harmless address in RAX and in memory; the exception, or NO_FAULT. */
#define ATTEMPT(insn)                                                               \
	({                                                                          \
		uint8_t vector_;                                                    \
		uint64_t rax_ = 0x100000, rcx_ = 0, rdx_ = 0, memory_ = 0;          \
		__asm__ volatile(TRY(insn)                                          \
				 : [vector] "=&r"(vector_), "+a"(rax_), "+c"(rcx_), \
				   "+d"(rdx_), [m] "+m"(memory_)                    \
				 :                                                  \
				 : "memory", "cc");                                 \
		vector_;                                                            \
	})

#define DENIED(insn, with)                                                  \
	do {                                                                \
		uint8_t got_ = ATTEMPT(insn);                               \
		check(got_ == (with), "%s raises vector %u", insn, (with)); \
	} while (0)

static void denied_by_svm(void)
{
	DENIED("vmrun", VEC_UD);
	DENIED("vmload", VEC_UD);
	DENIED("vmsave", VEC_UD);
	DENIED("stgi", VEC_UD);
	DENIED("clgi", VEC_UD);
	DENIED("invlpga", VEC_UD);
}

static void denied_by_vmx(void)
{
	DENIED("vmcall", VEC_UD); /* no magic number in RAX */
	DENIED("vmlaunch", VEC_UD);
	DENIED("vmresume", VEC_UD);
	DENIED("vmxoff", VEC_UD);
	DENIED("vmptrld %[m]", VEC_UD);
	DENIED("vmclear %[m]", VEC_UD);
	DENIED("vmxon %[m]", VEC_UD);
}

static void denied(void)
{
	uint32_t features = cpuid(1, 0).ecx, extended = cpuid(0x80000001, 0).ecx;

	check(!(features & BIT(5)), "CPUID hides VMX");
	check(!(extended & BIT(2)), "CPUID hides SVM");
	check(!(features & BIT(3)), "CPUID hides MONITOR");
	if (is_amd())
		denied_by_svm();
	else
		denied_by_vmx();
	DENIED("monitor", VEC_UD);
	DENIED("mwait", VEC_UD);
}

/* ---- MSRs ---- */

static void msrs(void)
{
	uint64_t efer = 0, value;
	uint8_t vector = try_rdmsr(MSR_EFER, &efer);

	check(vector == NO_FAULT && (efer & EFER_LMA) && !(efer & EFER_SVME), "EFER reads %#llx",
	      (unsigned long long)efer);
	check(try_wrmsr(MSR_EFER, efer | EFER_SVME) == VEC_GP, "EFER.SVME cannot be set");
	check(try_wrmsr(MSR_EFER, efer & ~(uint64_t)EFER_LME) == VEC_GP,
	      "EFER.LME cannot be cleared while paging is on");
	check(try_wrmsr(MSR_EFER, efer | EFER_SCE) == NO_FAULT, "EFER.SCE can be set");
	check(try_rdmsr(MSR_EFER, &value) == NO_FAULT && value == (efer | EFER_SCE),
	      "EFER keeps what was written");
	check(try_rdmsr(MSR_VM_HSAVE_PA, &value) == VEC_GP, "VM_HSAVE_PA does not exist");
	check(try_rdmsr(MSR_VMX_BASIC, &value) == VEC_GP, "IA32_VMX_BASIC does not exist");
	check(try_rdmsr(0x12345678, &value) == VEC_GP, "MSR 12345678h does not exist");
}

/* Not where the emulator takes any PAT and shows the host's one. */
static void pat(void)
{
	uint64_t value;

	check(try_rdmsr(MSR_PAT, &value) == NO_FAULT && value == PAT_RESET,
	      "PAT has its reset value");
	check(try_wrmsr(MSR_PAT, 0x0202020202020202) == VEC_GP, "PAT refuses a reserved type");
}

/* ---- Registers survive exits ---- */

static uint64_t before[16] __attribute__((used)), after[16] __attribute__((used));

/* 15 registers filled with patterns, one exit, and all of them stored. */
static void exit_with_patterns(void)
{
	__asm__ volatile("push %%rbp\n\t"
			 "push %%rbx\n\t"
			 "mov $before, %%rax\n\t"
			 "mov 8(%%rax), %%rcx\n\t"
			 "mov 24(%%rax), %%rbx\n\t"
			 "mov 40(%%rax), %%rbp\n\t"
			 "mov 48(%%rax), %%rsi\n\t"
			 "mov 56(%%rax), %%rdi\n\t"
			 "mov 64(%%rax), %%r8\n\t"
			 "mov 72(%%rax), %%r9\n\t"
			 "mov 80(%%rax), %%r10\n\t"
			 "mov 88(%%rax), %%r11\n\t"
			 "mov 96(%%rax), %%r12\n\t"
			 "mov 104(%%rax), %%r13\n\t"
			 "mov 112(%%rax), %%r14\n\t"
			 "mov 120(%%rax), %%r15\n\t"
			 "mov 16(%%rax), %%rdx\n\t"
			 "mov (%%rax), %%rax\n\t"
			 "stc\n\t"
			 "out %%al, $0x80\n\t"
			 "mov %%rax, after\n\t"
			 "mov %%rcx, after+8\n\t"
			 "mov %%rdx, after+16\n\t"
			 "mov %%rbx, after+24\n\t"
			 "mov %%rbp, after+40\n\t"
			 "mov %%rsi, after+48\n\t"
			 "mov %%rdi, after+56\n\t"
			 "mov %%r8, after+64\n\t"
			 "mov %%r9, after+72\n\t"
			 "mov %%r10, after+80\n\t"
			 "mov %%r11, after+88\n\t"
			 "mov %%r12, after+96\n\t"
			 "mov %%r13, after+104\n\t"
			 "mov %%r14, after+112\n\t"
			 "mov %%r15, after+120\n\t"
			 "setc after+32\n\t"
			 "pop %%rbx\n\t"
			 "pop %%rbp"
			 :
			 :
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "r15", "memory", "cc");
}

static void registers(void)
{
	uint64_t eax;

	for (unsigned i = 0; i < 16; i++)
		before[i] = 0x0123456789abcdefull * (2 * i + 1);
	before[4] = 1; /* in the place of RSP: the carry flag */
	exit_with_patterns();
	check(memcmp(before, after, sizeof(before)) == 0, "15 registers and CF survive an exit");

	__asm__ volatile("mov $-1, %%rax; in $0x80, %%al" : "=a"(eax));
	check((eax | 0xff) == ~0ull, "IN of one byte leaves the rest of RAX alone");
	__asm__ volatile("mov $-1, %%rax; in $0x80, %%eax" : "=a"(eax));
	check(eax == 0xffffffff, "IN of four bytes clears the high half of RAX");
}

static void switched_state(void)
{
	static const uint32_t msr[] = { MSR_FS_BASE,     MSR_GS_BASE,     MSR_KERNEL_GS_BASE,
					MSR_LSTAR,       MSR_CSTAR,       MSR_STAR,
					MSR_SFMASK,      MSR_SYSENTER_CS, MSR_SYSENTER_ESP,
					MSR_SYSENTER_EIP };
	uint64_t value;
	unsigned same = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(msr); i++)
		wrmsr(msr[i], 0x1110 + i);
	outb(UNUSED_PORT, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(msr); i++)
		same += rdmsr(msr[i]) == 0x1110 + i;
	check(same == ARRAY_SIZE(msr), "%u of %u switched MSRs survive an exit", same,
	      (unsigned)ARRAY_SIZE(msr));

	__asm__ volatile("mov %0, %%dr0; mov %0, %%dr3" : : "r"(0x7777ull));
	outb(UNUSED_PORT, 0);
	__asm__ volatile("mov %%dr0, %0" : "=r"(value));
	check(value == 0x7777, "DR0 survives an exit");
	__asm__ volatile("mov %%dr3, %0" : "=r"(value));
	check(value == 0x7777, "DR3 survives an exit");
	write_cr2(0x5555000);
	outb(UNUSED_PORT, 0);
	check(read_cr2() == 0x5555000, "CR2 survives an exit");
}

/* ---- Lengths ---- */

/* The instruction is followed by one that counts; a wrong length would not arrive there intact. */
#define ARRIVES(bytes)                                                                             \
	({                                                                                         \
		uint32_t eax_ = 0, ebx_ = 7;                                                       \
		__asm__ volatile("push %%rbx; mov $41, %%ebx; xor %%ecx, %%ecx; xor %%edx, %%edx;" \
				 "mov $0x80000000, %%eax; .byte " bytes                            \
				 "; mov $42, %%ebx; mov %%ebx, %1; pop %%rbx"                      \
				 : "=&a"(eax_), "=&S"(ebx_)                                        \
				 :                                                                 \
				 : "rcx", "rdx", "memory");                                        \
		ebx_ == 42;                                                                        \
	})

static void lengths(void)
{
	check(ARRIVES("0x0f, 0xa2"), "CPUID");
	check(ARRIVES("0x48, 0x0f, 0xa2"), "CPUID with REX");
	check(ARRIVES("0x66, 0x2e, 0x0f, 0xa2"), "CPUID with two prefixes");
	check(ARRIVES("0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x0f,0xa2"),
	      "CPUID of 15 bytes");
	check(ARRIVES("0xe6, 0x80"), "OUT imm8");
	check(ARRIVES("0x66, 0xe7, 0x80"), "OUT imm8 with a prefix");
	check(ARRIVES("0x0f, 0x09"), "WBINVD does nothing");
}

static void cache(void)
{
	volatile uint64_t value = 0;

	for (unsigned i = 0; i < 100; i++) {
		value = i;
		__asm__ volatile("invd" : : : "memory");
		if (value != i)
			break;
	}
	check(value == 99, "INVD loses no data");
}

/* ---- Debug exceptions ---- */

static volatile uint64_t db_rip, db_dr6;
static volatile unsigned db_count;

static void on_debug(struct frame *f)
{
	db_count++;
	db_rip = f->rip;
	db_dr6 = read_dr6();
	write_dr6(DR6_RESET);
	f->rflags &= ~(uint64_t)RFLAGS_TF;
}

static void single_step(void)
{
	uint64_t expected;

	db_count = 0;
	__asm__ volatile("xor %%eax, %%eax\n\t"
			 "lea 1f(%%rip), %[expected]\n\t"
			 "pushf\n\t"
			 "orq $0x100, (%%rsp)\n\t"
			 "popf\n\t"
			 "cpuid\n"
			 "1: nop"
			 : [expected] "=&S"(expected)
			 :
			 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	check(db_count == 1 && db_rip == expected && (db_dr6 & DR6_BS),
	      "single step over an instruction that exits (%u, %+lld)", db_count,
	      (long long)(db_rip - expected));
}

static void data_breakpoint(void)
{
	static volatile uint32_t watched;

	db_count = 0;
	__asm__ volatile("mov %0, %%dr0" : : "r"(&watched));
	__asm__ volatile("mov %0, %%dr7" : : "r"(0xd0402ull)); /* DR0: writes of 4 bytes */
	outb(UNUSED_PORT, 0); /* the breakpoint has to survive exits */
	watched = 1;
	__asm__ volatile("mov %0, %%dr7" : : "r"((uint64_t)DR7_RESET));
	/* Bochs with SVM loses the reason for an intercepted #DB. */
	check(db_count == 1 && (has_word("nodr6") || ((db_dr6 & 0xf) == 1 && !(db_dr6 & DR6_BS))),
	      "data breakpoint (%u, DR6 %#llx)", db_count, (unsigned long long)db_dr6);
	watched = 2;
	check(db_count == 1, "a breakpoint that is off stays quiet");
}

static void debug(void)
{
	set_handler(VEC_DB, on_debug);
	single_step();
	data_breakpoint();
	set_handler(VEC_DB, NULL);
}

/* ---- Virtual NMIs ---- */

#define ICR_NMI 0x4400 /* NMI, assert */

static volatile unsigned nmi_count, nmi_nested;

static void on_nmi(struct frame *f)
{
	(void)f;
	nmi_count++;
	if (nmi_count == 1) {
		apic_send(ICR_NMI, apic_id());
		outb(UNUSED_PORT, 0);
		cpuid(0, 0);
		nmi_nested = nmi_count;
	}
}

static void nmis(void)
{
	set_handler(VEC_NMI, on_nmi);
	apic_init(false);
	apic_send(ICR_NMI, apic_id());
	for (unsigned i = 0; i < 1000 && nmi_count < 2; i++)
		outb(UNUSED_PORT, 0);
	check(nmi_nested == 1, "an NMI waits for the IRET of the one before");
	check(nmi_count == 2, "both NMIs arrive");
	for (unsigned i = 0; i < 100; i++)
		cpuid(0, 0);
	check(nmi_count == 2, "and no third one");
	check(db_count == 1, "without a debug exception that is none of ours");
	set_handler(VEC_NMI, NULL);
}

/* ---- XCR0 ---- */

static uint8_t try_xsetbv(uint32_t index, uint64_t value)
{
	uint8_t vector;

	__asm__ volatile(TRY("xsetbv")
			 : [vector] "=&r"(vector)
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return vector;
}

static void xcr0(void)
{
	if (!(cpuid(1, 0).ecx & BIT(26)))
		return;
	check(try_xsetbv(0, 1) == VEC_UD, "XSETBV without CR4.OSXSAVE raises #UD");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	check(xgetbv(0) == 1, "XCR0 has its reset value");
	check(cpuid(1, 0).ecx & BIT(27), "CPUID shows OSXSAVE");
	check(try_xsetbv(0, 3) == NO_FAULT && xgetbv(0) == 3, "XCR0 takes x87 and SSE");
	check(try_xsetbv(0, 2) == VEC_GP, "XCR0 refuses to be without x87");
	check(try_xsetbv(0, BIT(62) | 3) == VEC_GP, "XCR0 refuses unknown components");
	check(try_xsetbv(1, 3) == VEC_GP, "there is no XCR1");
	check(xgetbv(0) == 3, "and stays what it was");
}

void guest_main(void)
{
	denied();
	msrs();
	if (has_word("pat"))
		pat();
	registers();
	switched_state();
	lengths();
	cache();
	xcr0();
	debug();
	nmis();
}
