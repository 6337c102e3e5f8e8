/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SVM: from #VMEXIT to the next VMRUN. What the processor says reaches core/, what it was told once
 * is taken back, and RIP ends up behind the instruction on processors that tell where that is and on
 * others.
 */
// sources: svm/svm_quick.c svm/svm_exit.c svm/svm_event.c svm/svm_skip.c svm/asid.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/fetch.h"
#include "log.h"
#include "svm/svm.h"
#include "x86/msr.h"
#include "x86/regs.h"

#define RIP  0xffffffff81000100ull
#define CR3  0x1234000ull
#define PAGE (RIP & PAGE_MASK)

#define ATTR_CODE_64 0xa9b
#define ATTR_CODE_32 0xc9b

struct svm_caps svm_caps;
static struct svm_vcpu hw;
static struct svm_cpu svm_cpu;
static struct cpu cpu;
static struct guest guest;
static struct slot_set slots;
static struct vcpu vcpu;

static uint8_t code[PAGE_SIZE + 16]; /* what the guest has at PAGE */
static unsigned walks, decoded;
static bool leave, fail, repeated_sti;
static uint32_t wrmsr_in_guest;
static uint8_t decoded_length;
static uint64_t asked_with, answer, device_requests;

/* What core/ was told. */
static struct {
	unsigned cpuids, rdmsrs, wrmsrs, hypercalls, xsetbvs, nmis, windows, deaths;
	struct pio_exit pio;
	struct tdp_exit tdp;
} told;

bool vcpu_before_entry(struct vcpu *v)
{
	(void)v;
	cpu.in_guest = !leave;
	return !leave;
}

void vcpu_cpuid_slowly(struct vcpu *v)
{
	told.cpuids++;
	asked_with = v->gpr[GPR_RAX];
	v->gpr[GPR_RAX] = answer;
}

enum status vcpu_rdmsr(struct vcpu *v)
{
	(void)v;
	told.rdmsrs++;
	return fail ? ERR_DENIED : OK;
}

enum status vcpu_wrmsr(struct vcpu *v)
{
	told.wrmsrs++;
	wrmsr_in_guest = cpu.in_guest;
	v->requests = device_requests;
	return fail ? ERR_DENIED : OK;
}

enum status vcpu_xsetbv(struct vcpu *v)
{
	(void)v;
	told.xsetbvs++;
	return fail ? ERR_DENIED : OK;
}

enum status vcpu_hypercall(struct vcpu *v)
{
	(void)v;
	told.hypercalls++;
	return fail ? ERR_INVALID : OK;
}

void vcpu_pio(struct vcpu *v, const struct pio_exit *e)
{
	told.pio = *e;
	svm_skip_instruction(v);
}

void vcpu_in(struct vcpu *v, uint16_t port, uint8_t size)
{
	told.pio = (struct pio_exit){ .port = port, .size = size, .in = true };
	v->gpr[GPR_RAX] = answer;
	v->requests = device_requests;
}

void vcpu_out(struct vcpu *v, uint16_t port, uint8_t size)
{
	assert_int_equal(cpu.in_guest, 0); /* it may take locks */
	told.pio = (struct pio_exit){ .port = port, .size = size };
	asked_with = v->gpr[GPR_RAX];
	v->requests = device_requests;
}

void vcpu_tdp_fault(struct vcpu *v, const struct tdp_exit *e)
{
	(void)v;
	assert_int_equal(cpu.in_guest, 0);
	told.tdp = *e;
}

void vcpu_host_nmi(struct vcpu *v)
{
	(void)v;
	assert_int_equal(told.windows, told.nmis + 1); /* it has been taken by then */
	told.nmis++;
}

void vcpu_die(struct vcpu *v, const char *fmt, ...)
{
	(void)v;
	(void)fmt;
	told.deaths++;
}

void svm_nmi_window(void)
{
	told.windows++;
}

void svm_repeat_sti(struct vcpu *v)
{
	(void)v;
	repeated_sti = true;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

const char *vmcb_check(const struct vmcb *b, const struct vmcb_limits *l)
{
	(void)b;
	(void)l;
	return NULL;
}

bool fetch_walk(struct vcpu *v, const struct slot_set *set, uint64_t cr3, uint64_t gla)
{
	struct fetch_view *f = fetch_view_of(v, gla);
	static const uint64_t entry;

	assert_ptr_equal(v, &vcpu);
	assert_ptr_equal(set, &slots);
	assert_int_equal(cr3, CR3);
	walks++;
	if ((gla & PAGE_MASK) != PAGE)
		return false;
	*f = (struct fetch_view){ .key = PAGE | FETCH_KEY_VALID, .cr3 = CR3, .page = code };
	for (unsigned i = 0; i < FETCH_LEVELS; i++)
		f->step[i].entry = &entry;
	return true;
}

uint8_t vcpu_instruction_length(struct vcpu *v)
{
	(void)v;
	decoded++;
	return decoded_length;
}

static int setup(void **state)
{
	struct vmcb_save *b = &hw.vmcb.save;

	(void)state;
	memset(&svm_caps, 0, sizeof(svm_caps));
	memset(&hw, 0, sizeof(hw));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&told, 0, sizeof(told));
	memset(code, 0xcc, sizeof(code));
	walks = decoded = 0;
	device_requests = 0;
	leave = fail = repeated_sti = false;
	decoded_length = 7;
	cpu.vendor = &svm_cpu;
	asid_pool_init(&svm_cpu.asid, 16, false);
	cpu.in_guest = 1;
	vcpu.cpu = &cpu;
	guest.hold = 0;
	vcpu.due = UINT64_MAX;
	vcpu.guest = &guest;
	guest.tdp.slots = &slots;
	vcpu.hw = &hw;
	hw.vmcb_hpa = HPA(0x5000);
	b->efer = EFER_LMA | EFER_LME | EFER_SVME;
	b->cs.attrib = ATTR_CODE_64;
	b->cr3 = CR3;
	b->cr4 = CR4_PAE;
	b->rip = RIP;
	b->rflags = RFLAGS_RESERVED;
	b->dr6 = DR6_RESET;
	return 0;
}

/* Another core wants this one, and it is to leave the run loop for that. */
static void want_outside(void)
{
	guest.hold = 1;
	leave = true;
}

/* The guest executes these bytes and exits. */
static hpa_t exits(uint32_t exit_code, const char *bytes, size_t count)
{
	hpa_t vmcb;

	/* QEMU leaves the high half of the code alone. */
	hw.vmcb.control.exit_code = exit_code | 0xdead00000000ull;
	memcpy(code + (hw.vmcb.save.rip & ~PAGE_MASK), bytes, count);
	vmcb = svm_handle_exit(&vcpu);
	assert_false(cpu.read_sequence & 1);
	return vmcb;
}
#define EXITS(exit_code, bytes) exits(exit_code, bytes, sizeof(bytes) - 1)

/* The exits were counted as these, and the last one was noted down so. */
static void assert_counted(enum exit_class class, unsigned count, uint32_t raw, uint64_t info)
{
	const struct exit_record *r = vcpu_record(&vcpu, 1);

	assert_int_equal(vcpu.stats[class].exits, count);
	assert_true(vcpu.stats[class].cycles > 0);
	assert_int_equal(r->class, class);
	assert_int_equal(r->raw, raw);
	assert_int_equal(r->info, info);
}

static void assert_exception(uint8_t vector)
{
	uint64_t e = hw.vmcb.control.event_inj;

	assert_true(e & EVENT_VALID);
	assert_int_equal(e & EVENT_TYPE, EVENT_TYPE_EXC);
	assert_int_equal(e & EVENT_VECTOR, vector);
	assert_int_equal(hw.vmcb.save.rip, RIP);
}

static void registers_go_both_ways(void **state)
{
	(void)state;
	hw.vmcb.save.rax = 1;
	hw.vmcb.save.rsp = 2;
	vcpu.gpr[GPR_RAX] = vcpu.gpr[GPR_RSP] = vcpu.rflags = 77;
	assert_int_equal(EXITS(SVM_EXIT_NMI, "").v, 0x5000);
	assert_int_equal(vcpu.gpr[GPR_RAX], 1);
	assert_int_equal(vcpu.gpr[GPR_RSP], 2);
	assert_int_equal(vcpu.rip, RIP);
	assert_int_equal(vcpu.rflags, RFLAGS_RESERVED);
	vcpu.gpr[GPR_RAX] = 3;
	vcpu.gpr[GPR_RSP] = 4;
	vcpu.rip = 5;
	vcpu.rflags = 6;
	assert_int_equal(svm_prepare_entry(&vcpu).v, 0x5000);
	assert_int_equal(hw.vmcb.save.rax, 3);
	assert_int_equal(hw.vmcb.save.rsp, 4);
	assert_int_equal(hw.vmcb.save.rip, 5);
	assert_int_equal(hw.vmcb.save.rflags, 6);
	want_outside();
	assert_int_equal(svm_prepare_entry(&vcpu).v, 0);
	assert_int_equal(EXITS(SVM_EXIT_NMI, "").v, 0);
}

/* What answers by itself goes back without a look around, and leaves RSP and RFLAGS where they are. */
static void quick_exits(void **state)
{
	(void)state;
	want_outside();
	hw.vmcb.save.rax = 1;
	hw.vmcb.save.rsp = 2;
	vcpu.gpr[GPR_RSP] = vcpu.rflags = 77;
	answer = 9;
	assert_int_equal(EXITS(SVM_EXIT_CPUID, "\x0f\xa2").v, 0x5000);
	assert_int_equal(asked_with, 1);
	assert_int_equal(hw.vmcb.save.rax, 9);
	assert_int_equal(hw.vmcb.save.rsp, 2);
	assert_int_equal(hw.vmcb.save.rflags, RFLAGS_RESERVED);
	assert_int_equal(cpu.in_guest, 1);
	EXITS(SVM_EXIT_VMMCALL, "\x0f\x01\xd9");
	EXITS(SVM_EXIT_MSR, "\x0f\x32");
	assert_int_equal(EXITS(SVM_EXIT_XSETBV, "\x0f\x01\xd1").v, 0x5000);
	assert_int_equal(cpu.in_guest, 1);
}

/* Unless there is something to do after all. */
static void assert_not_quick(const char *bytes, size_t count)
{
	want_outside();
	cpu.in_guest = 1;
	assert_int_equal(exits(SVM_EXIT_CPUID, bytes, count).v, 0);
	assert_int_equal(cpu.in_guest, 0);
	assert_int_equal(vcpu.rip, RIP + (decoded ? decoded_length : 2));
	assert_int_equal(vcpu.gpr[GPR_RSP], 2);
	setup(NULL);
	hw.vmcb.save.rsp = 2;
}

static void exits_that_become_slow(void **state)
{
	(void)state;
	hw.vmcb.save.rsp = 2;
	vcpu.due = 0;
	assert_not_quick("\x0f\xa2", 2);
	hw.nmi_pending = true;
	assert_not_quick("\x0f\xa2", 2);
	hw.vmcb.save.rflags |= RFLAGS_TF;
	assert_not_quick("\x0f\xa2", 2);
	assert_not_quick("\xf2\x0f\xa2", 3);
	fail = true;
	want_outside();
	assert_int_equal(EXITS(SVM_EXIT_MSR, "\x0f\x32").v, 0);
	assert_int_equal(cpu.in_guest, 0);
}

static void commands_are_taken_back(void **state)
{
	(void)state;
	hw.flush = true;
	svm_inject_exception(&vcpu, VEC_UD, false, 0);
	svm_prepare_entry(&vcpu);
	assert_int_equal(hw.vmcb.control.tlb_control, TLB_CONTROL_FLUSH_ALL);
	assert_true(hw.vmcb.control.event_inj & EVENT_VALID);
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.tlb_control, TLB_CONTROL_NOTHING);
	assert_int_equal(hw.vmcb.control.event_inj, 0);
}

/* All that the exit path changes is announced where the processor has clean bits. */
static void clean_bits(void **state)
{
	(void)state;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.clean, 0);
	svm_caps.clean = (uint32_t)CLEAN_ALL;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.clean, CLEAN_ALL);
	hw.vmcb.save.rflags |= RFLAGS_TF;
	hw.flush = true;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.clean, CLEAN_ALL & ~(CLEAN_DR | CLEAN_ASID));
	svm_inject_nmi(&vcpu);
	svm_prepare_entry(&vcpu);
	assert_true(hw.vmcb.control.clean & CLEAN_INTERCEPTS); /* it waits for the #DB */
	hw.vmcb.save.rflags &= ~(uint64_t)RFLAGS_TF;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.clean, CLEAN_ALL & ~CLEAN_INTERCEPTS);
	assert_true(hw.vmcb.control.intercept[0] & INTERCEPT_IRET);
}

static void interrupted_events_come_back(void **state)
{
	const uint64_t timer = EVENT_VALID | EVENT_TYPE_INTR | 0xec;

	(void)state;
	hw.vmcb.control.exit_int_info = timer;
	EXITS(SVM_EXIT_NMI, "");
	assert_int_equal(hw.vmcb.control.event_inj, timer);
	assert_int_equal(told.nmis, 1);
	hw.vmcb.control.exit_int_info = timer & ~EVENT_VALID;
	EXITS(SVM_EXIT_NMI, "");
	assert_int_equal(hw.vmcb.control.event_inj, 0);
}

static void the_shadow_is_made_up_for(void **state)
{
	(void)state;
	hw.vmcb.control.int_state = INT_STATE_SHADOW;
	EXITS(SVM_EXIT_NMI, "");
	assert_false(repeated_sti);
	svm_caps.no_shadow = true;
	EXITS(SVM_EXIT_NMI, "");
	assert_true(repeated_sti);
	/* An instruction that was emulated ends it. */
	repeated_sti = false;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_false(repeated_sti);
	assert_int_equal(hw.vmcb.control.int_state, 0);
}

static void known_opcodes_need_no_decoder(void **state)
{
	static const struct {
		uint32_t exit;
		uint64_t info1;
		const char *bytes;
		unsigned length;
		enum exit_class class;
	} opcodes[] = {
		{ SVM_EXIT_CPUID, 0, "\x0f\xa2", 2, EXIT_CPUID },
		{ SVM_EXIT_MSR, 0, "\x0f\x32", 2, EXIT_RDMSR },
		{ SVM_EXIT_MSR, 1, "\x0f\x30", 2, EXIT_WRMSR },
		{ SVM_EXIT_VMMCALL, 0, "\x0f\x01\xd9", 3, EXIT_HYPERCALL },
		{ SVM_EXIT_XSETBV, 0, "\x0f\x01\xd1", 3, EXIT_XSETBV },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(opcodes); i++) {
		setup(state);
		hw.vmcb.control.exit_info1 = opcodes[i].info1;
		hw.vmcb.save.rflags |= RFLAGS_RF;
		exits(opcodes[i].exit, opcodes[i].bytes, opcodes[i].length);
		assert_int_equal(hw.vmcb.save.rip, RIP + opcodes[i].length);
		assert_int_equal(hw.vmcb.save.rflags, RFLAGS_RESERVED);
		assert_counted(opcodes[i].class, 1, opcodes[i].exit,
			       opcodes[i].exit == SVM_EXIT_XSETBV ? opcodes[i].info1 : 0);
		assert_int_equal(walks, 1);
		assert_int_equal(decoded, 0);
		/* The same with a prefix, or with another opcode: the decoder's. */
		for (unsigned n = 0; n <= opcodes[i].length; n++) {
			char other[4] = "\x66";

			hw.vmcb.save.rip = RIP;
			memcpy(other + (n == 0), opcodes[i].bytes, opcodes[i].length);
			if (n)
				other[n - 1] ^= 0x20;
			exits(opcodes[i].exit, other, 4);
			assert_int_equal(hw.vmcb.save.rip, RIP + decoded_length);
			assert_int_equal(decoded, n + 1);
		}
	}
	assert_int_equal(told.xsetbvs, 5);
}

static void other_modes_are_the_decoders(void **state)
{
	(void)state;
	hw.vmcb.save.cr4 |= CR4_LA57;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(decoded, 1);
	setup(state);
	hw.vmcb.save.efer = EFER_SVME;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(decoded, 1);
	assert_int_equal(hw.vmcb.save.rip, (uint32_t)(RIP + 7));
	setup(state);
	hw.vmcb.save.cs.attrib = ATTR_CODE_32;
	hw.vmcb.save.rip = 0xfffffffe;
	hw.vmcb.control.exit_code = SVM_EXIT_CPUID;
	svm_handle_exit(&vcpu);
	assert_int_equal(decoded, 1);
	assert_int_equal(hw.vmcb.save.rip, 5);
	assert_int_equal(walks, 0);
}

static void the_ends_of_pages(void **state)
{
	(void)state;
	for (unsigned offset = PAGE_SIZE - 8; offset < PAGE_SIZE; offset++) {
		setup(state);
		hw.vmcb.save.rip = PAGE + offset;
		EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
		assert_int_equal(decoded, offset > PAGE_SIZE - 4);
		assert_int_equal(hw.vmcb.save.rip, PAGE + offset + (decoded ? 7 : 2));
	}
	/* Code that cannot be found. */
	setup(state);
	hw.vmcb.save.rip = PAGE + PAGE_SIZE;
	hw.vmcb.control.exit_code = SVM_EXIT_CPUID;
	svm_handle_exit(&vcpu);
	assert_int_equal(decoded, 1);
	/* Gone meanwhile: it is executed again. */
	setup(state);
	decoded_length = 0;
	EXITS(SVM_EXIT_CPUID, "\xcc");
	assert_int_equal(hw.vmcb.save.rip, RIP);
}

static void the_processor_may_tell(void **state)
{
	(void)state;
	svm_caps.nrips = true;
	hw.vmcb.control.next_rip = RIP + 5;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.save.rip, RIP + 5);
	assert_int_equal(walks + decoded, 0);
	hw.vmcb.save.rip = RIP;
	EXITS(SVM_EXIT_WBINVD, "\x0f\x09");
	assert_int_equal(hw.vmcb.save.rip, RIP + 5);
	/* But nothing that cannot be. */
	for (unsigned i = 0; i < 2; i++) {
		setup(state);
		svm_caps.nrips = true;
		hw.vmcb.control.next_rip = i ? RIP : RIP + 16;
		EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
		assert_int_equal(hw.vmcb.save.rip, RIP + 7);
	}
	/* And not for exits that are no intercepted instruction. */
	svm_caps.nrips = true;
	hw.vmcb.control.exit_code = SVM_EXIT_NPF;
	hw.vmcb.control.next_rip = RIP + 3;
	vcpu.rip = RIP;
	svm_skip_instruction(&vcpu);
	assert_int_equal(vcpu.rip, RIP + 7);
	vcpu.insn_length = 4;
	svm_skip_instruction(&vcpu);
	assert_int_equal(vcpu.rip, RIP + 7 + 4);
}

static void a_step_over_it_is_reported(void **state)
{
	(void)state;
	hw.vmcb.save.rflags |= RFLAGS_TF;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.save.rip, RIP + 2);
	assert_int_equal(hw.vmcb.control.event_inj, EVENT_VALID | EVENT_TYPE_EXC | VEC_DB);
	assert_int_equal(hw.vmcb.save.dr6, DR6_RESET | BIT(14));
	/* Unless the step is the hypervisor's own. */
	setup(state);
	hw.vmcb.save.rflags |= RFLAGS_TF;
	hw.nmi_step = true;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.event_inj, 0);
	/* Or the guest steps from branch to branch. */
	setup(state);
	hw.vmcb.save.rflags |= RFLAGS_TF;
	hw.vmcb.save.debugctl = DEBUGCTL_BTF;
	svm_caps.lbrv = true;
	EXITS(SVM_EXIT_CPUID, "\x0f\xa2");
	assert_int_equal(hw.vmcb.control.event_inj, 0);
}

static void what_cannot_be_read_is_not_skipped(void **state)
{
	(void)state;
	decoded_length = 0; /* a page fault is pending */
	hw.vmcb.save.rflags |= RFLAGS_RF | RFLAGS_TF;
	hw.vmcb.control.int_state = INT_STATE_SHADOW;
	EXITS(SVM_EXIT_CPUID, "\x66\x0f\xa2");
	assert_int_equal(decoded, 1);
	assert_int_equal(hw.vmcb.save.rip, RIP);
	assert_true(hw.vmcb.save.rflags & RFLAGS_RF);
	assert_int_equal(hw.vmcb.control.int_state, INT_STATE_SHADOW);
	assert_int_equal(hw.vmcb.control.event_inj, 0);
}

static void refusals_are_exceptions(void **state)
{
	(void)state;
	fail = true;
	EXITS(SVM_EXIT_MSR, "\x0f\x32");
	assert_exception(VEC_GP);
	EXITS(SVM_EXIT_VMMCALL, "\x0f\x01\xd9");
	assert_exception(VEC_UD);
	EXITS(SVM_EXIT_XSETBV, "\x0f\x01\xd1");
	assert_exception(VEC_GP);
	fail = false;
	hw.vmcb.save.cpl = 3;
	EXITS(SVM_EXIT_XSETBV, "\x0f\x01\xd1");
	assert_exception(VEC_GP);
	assert_int_equal(told.xsetbvs, 1);
	EXITS(SVM_EXIT_VMRUN, "\x0f\x01\xd8");
	assert_exception(VEC_UD);
	EXITS(SVM_EXIT_RDPMC, "\x0f\x33");
	assert_exception(VEC_GP);
	hw.vmcb.control.exit_info1 = 0;
	EXITS(SVM_EXIT_EXCEPTION + VEC_AC, "");
	assert_exception(VEC_AC);
	assert_int_equal(told.deaths, 0);
	EXITS(SVM_EXIT_EXCEPTION + VEC_PF, "");
	EXITS(SVM_EXIT_TASK_SWITCH, "");
	EXITS(SVM_EXIT_SHUTDOWN, "");
	EXITS(SVM_EXIT_INVALID, "");
	assert_int_equal(told.deaths, 4);
}

static void port_accesses(void **state)
{
	(void)state;
	leave = true; /* nobody asks whether to */
	/* OUT DX, AX: the processor tells the next RIP in EXITINFO2 in any case. */
	hw.vmcb.save.rax = 0x55;
	hw.vmcb.save.rsp = 2;
	hw.vmcb.save.rflags |= RFLAGS_RF;
	hw.vmcb.control.int_state = INT_STATE_SHADOW;
	hw.vmcb.control.exit_info1 = 0x3f8ull << 16 | 2 << IOIO_SIZE_SHIFT | 2 << 7;
	hw.vmcb.control.exit_info2 = RIP + 9;
	assert_int_equal(EXITS(SVM_EXIT_IOIO, "\x66\xef").v, 0x5000);
	assert_int_equal(hw.vmcb.save.rip, RIP + 9);
	assert_int_equal(hw.vmcb.save.rflags, RFLAGS_RESERVED);
	assert_int_equal(hw.vmcb.control.int_state, 0);
	assert_counted(EXIT_PIO, 1, SVM_EXIT_IOIO, hw.vmcb.control.exit_info1);
	assert_int_equal(told.pio.port, 0x3f8);
	assert_int_equal(told.pio.size, 2);
	assert_false(told.pio.in);
	assert_int_equal(asked_with, 0x55);
	assert_int_equal(cpu.in_guest, 1);
	/* IN AL. */
	answer = 0x77;
	hw.vmcb.save.rip = RIP;
	hw.vmcb.control.exit_info1 = 0x3ffull << 16 | 1 << IOIO_SIZE_SHIFT | IOIO_IN;
	EXITS(SVM_EXIT_IOIO, "\xec");
	assert_int_equal(hw.vmcb.save.rax, 0x77);
	assert_true(told.pio.in);
	assert_int_equal(told.pio.port, 0x3ff);
	assert_int_equal(told.pio.size, 1);
	/* What others want meanwhile is seen to: here, to leave. */
	guest.hold = 1;
	hw.vmcb.save.rip = RIP;
	assert_int_equal(EXITS(SVM_EXIT_IOIO, "\xec").v, 0);
	assert_int_equal(vcpu.rip, RIP + 9);
	assert_int_equal(vcpu.gpr[GPR_RSP], 2);
	guest.hold = 0;
	device_requests = VCPU_REQ_STOP;
	hw.vmcb.save.rip = RIP;
	assert_int_equal(EXITS(SVM_EXIT_IOIO, "\xec").v, 0);
	assert_int_equal(vcpu.rip, RIP + 9);
	assert_int_equal(cpu.in_guest, 0);
}

static void port_accesses_by_the_long_way(void **state)
{
	(void)state;
	/* A single step. */
	hw.vmcb.save.rflags |= RFLAGS_TF;
	hw.vmcb.control.exit_info1 = 0x3f8ull << 16 | 1 << IOIO_SIZE_SHIFT;
	hw.vmcb.control.exit_info2 = RIP + 1;
	EXITS(SVM_EXIT_IOIO, "\xee");
	assert_int_equal(hw.vmcb.save.rip, RIP + 1);
	assert_int_equal(hw.vmcb.control.event_inj, EVENT_VALID | EVENT_TYPE_EXC | VEC_DB);
	assert_int_equal(decoded + walks, 0);
	/* A mode in which RIP has 32 bits. */
	setup(state);
	hw.vmcb.save.efer = EFER_SVME;
	hw.vmcb.save.rip = 0xffffffff;
	hw.vmcb.control.exit_info1 = 0x3f8ull << 16 | 4 << IOIO_SIZE_SHIFT | IOIO_IN;
	hw.vmcb.control.exit_info2 = 0x100000000;
	EXITS(SVM_EXIT_IOIO, "\xed");
	assert_int_equal(hw.vmcb.save.rip, 0);
	assert_true(told.pio.in && told.pio.size == 4 && told.pio.port == 0x3f8);
	assert_int_equal(told.pio.segment, 0xff);
	assert_false(told.pio.string || told.pio.rep);
	/* REP INSB, 32-bit addresses. */
	setup(state);
	hw.vmcb.control.exit_info1 = 0x71ull << 16 | 1 << IOIO_SIZE_SHIFT | 2 << 7 | 3 << 10 |
				     IOIO_IN | IOIO_STRING | IOIO_REP;
	EXITS(SVM_EXIT_IOIO, "\xf3\x6c");
	assert_int_equal(told.pio.port, 0x71);
	assert_int_equal(told.pio.size, 1);
	assert_true(told.pio.in && told.pio.string && told.pio.rep);
	assert_int_equal(told.pio.address_size, 0);
	assert_int_equal(told.pio.segment, 0xff);
	svm_caps.decode_assists = true;
	EXITS(SVM_EXIT_IOIO, "\xf3\x6c");
	assert_int_equal(told.pio.address_size, 4);
	assert_int_equal(told.pio.segment, SEG_DS);
}

/* EFER goes to and comes from the VMCB, but for what is the host's. */
static void efer(void **state)
{
	(void)state;
	want_outside();
	vcpu.msrs.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	svm_caps.clean = (uint32_t)CLEAN_ALL;
	vcpu.gpr[GPR_RCX] = MSR_EFER;
	vcpu.gpr[GPR_RDX] = 77;
	EXITS(SVM_EXIT_MSR, "\x0f\x32");
	assert_int_equal(hw.vmcb.save.rax, EFER_LMA | EFER_LME);
	assert_int_equal(vcpu.gpr[GPR_RDX], 0);
	assert_int_equal(told.rdmsrs, 0);
	assert_int_equal(hw.vmcb.control.clean, CLEAN_ALL);
	hw.vmcb.control.exit_info1 = 1;
	hw.vmcb.save.rax = EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE;
	hw.vmcb.save.rip = RIP;
	EXITS(SVM_EXIT_MSR, "\x0f\x30");
	assert_int_equal(hw.vmcb.save.efer, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE | EFER_SVME);
	assert_int_equal(hw.vmcb.control.clean, CLEAN_ALL & ~CLEAN_CR);
	assert_int_equal(hw.vmcb.save.rip, RIP + 2);
	assert_int_equal(told.wrmsrs, 0);
	/* What it may not be, and what needs a closer look, is for the table. */
	fail = true;
	for (unsigned i = 0; i < 4; i++) {
		hw.vmcb.save.rax = EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE;
		vcpu.gpr[GPR_RDX] = i == 0;
		hw.vmcb.save.rax ^= i == 1 ? EFER_SVME : i == 2 ? EFER_LME : i == 3 ? EFER_LMA : 0;
		hw.vmcb.save.rip = RIP;
		EXITS(SVM_EXIT_MSR, "\x0f\x30");
		assert_exception(VEC_GP);
		assert_int_equal(told.wrmsrs, i + 1);
	}
	assert_int_equal(hw.vmcb.save.efer, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE | EFER_SVME);
}

/* Those that may take the guest's lock are served outside. */
static void writes_of_msrs(void **state)
{
	(void)state;
	want_outside();
	hw.vmcb.control.exit_info1 = 1;
	vcpu.gpr[GPR_RCX] = MSR_X2APIC_ICR;
	assert_int_equal(EXITS(SVM_EXIT_MSR, "\x0f\x30").v, 0x5000);
	assert_int_equal(wrmsr_in_guest, 1);
	hw.vmcb.save.rip = RIP;
	device_requests = VCPU_REQ_VECTORS; /* to itself */
	assert_int_equal(EXITS(SVM_EXIT_MSR, "\x0f\x30").v, 0);
	assert_int_equal(vcpu.rip, RIP + 2);
	setup(state);
	want_outside();
	hw.vmcb.control.exit_info1 = 1;
	vcpu.gpr[GPR_RCX] = MSR_X2APIC_EOI;
	assert_int_equal(EXITS(SVM_EXIT_MSR, "\x0f\x30").v, 0);
	assert_int_equal(wrmsr_in_guest, 0);
	assert_int_equal(vcpu.rip, RIP + 2);
}

static void nested_faults(void **state)
{
	struct vmcb_control *c = &hw.vmcb.control;

	(void)state;
	memset(&told.tdp, 0xff, sizeof(told.tdp));
	c->exit_info2 = 0xfee000b0;
	c->exit_info1 = NPF_U | NPF_FINAL;
	c->insn_len = 3;
	memcpy(c->insn, "\x8b\x00\x90", 3);
	EXITS(SVM_EXIT_NPF, "");
	assert_counted(EXIT_TDP, 1, SVM_EXIT_NPF, 0xfee000b0);
	assert_int_equal(told.tdp.gpa.v, 0xfee000b0);
	assert_true(told.tdp.read);
	assert_false(told.tdp.write || told.tdp.fetch || told.tdp.in_page_walk);
	assert_false(told.tdp.untold || told.tdp.misconfig || told.tdp.in_event);
	assert_int_equal(told.tdp.insn_len, 0);
	c->exit_info1 = NPF_P | NPF_W | NPF_U | NPF_RSVD | NPF_WALK;
	c->exit_int_info = EVENT_VALID | EVENT_TYPE_INTR | 0x30;
	svm_caps.decode_assists = true;
	EXITS(SVM_EXIT_NPF, "");
	assert_true(told.tdp.write && told.tdp.in_page_walk && told.tdp.misconfig);
	assert_true(told.tdp.in_event);
	assert_false(told.tdp.read || told.tdp.fetch);
	assert_int_equal(told.tdp.insn_len, 3);
	assert_memory_equal(told.tdp.insn, "\x8b\x00\x90", 3);
	c->exit_info1 = NPF_P | NPF_FETCH;
	EXITS(SVM_EXIT_NPF, "");
	assert_true(told.tdp.fetch);
	assert_false(told.tdp.read || told.tdp.write);
	assert_int_equal(told.tdp.insn_len, 0);
	/* More bytes than there can be. */
	c->exit_info1 = NPF_P;
	c->insn_len = 16;
	EXITS(SVM_EXIT_NPF, "");
	assert_int_equal(told.tdp.insn_len, 0);
}

static void exits_have_names(void **state)
{
	(void)state;
	assert_string_equal(svm_exit_name(SVM_EXIT_CPUID), "CPUID");
	assert_string_equal(svm_exit_name(SVM_EXIT_NPF), "NPF");
	assert_string_equal(svm_exit_name(SVM_EXIT_EXCEPTION + VEC_AC), "EXCEPTION");
	assert_string_equal(svm_exit_name(SVM_EXIT_HLT), "?");
	assert_string_equal(svm_exit_name(SVM_EXIT_INVALID), "INVALID");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers_go_both_ways, setup),
		cmocka_unit_test_setup(quick_exits, setup),
		cmocka_unit_test_setup(exits_that_become_slow, setup),
		cmocka_unit_test_setup(commands_are_taken_back, setup),
		cmocka_unit_test_setup(clean_bits, setup),
		cmocka_unit_test_setup(interrupted_events_come_back, setup),
		cmocka_unit_test_setup(the_shadow_is_made_up_for, setup),
		cmocka_unit_test_setup(known_opcodes_need_no_decoder, setup),
		cmocka_unit_test_setup(other_modes_are_the_decoders, setup),
		cmocka_unit_test_setup(the_ends_of_pages, setup),
		cmocka_unit_test_setup(the_processor_may_tell, setup),
		cmocka_unit_test_setup(a_step_over_it_is_reported, setup),
		cmocka_unit_test_setup(what_cannot_be_read_is_not_skipped, setup),
		cmocka_unit_test_setup(refusals_are_exceptions, setup),
		cmocka_unit_test_setup(port_accesses, setup),
		cmocka_unit_test_setup(port_accesses_by_the_long_way, setup),
		cmocka_unit_test_setup(efer, setup),
		cmocka_unit_test_setup(writes_of_msrs, setup),
		cmocka_unit_test_setup(nested_faults, setup),
		cmocka_unit_test_setup(exits_have_names, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
