// SPDX-License-Identifier: BSD-2-Clause
/*
 * VM entry against hold, flush, kick, reset and read sections, under x86's memory order (TSO: each
 * core's plain stores wait in a queue of its own; loads are in order; locked instructions and
 * fences empty the queue first).
 *
 * Follows core/vcpu.c (vcpu_before_entry, serve, leave), core/mm_host.c, x86/nmi.h, the quick exits of
 * vmx/vmx_quick.c and svm/svm_exit.c, and the order of steps of tdp_commit() and of a zap. The guest has one page, cores 0 .. NC-1 run it. Core NC, the
 * monitor's, and core 0 between an exit and the next entry change the layout.
 *
 * Checked: a core in guest mode uses what the layout says at that moment (frame), never what it
 * said earlier; a slot set is not freed under a reader; nobody waits forever.
 */
#ifndef NC
#define NC 2
#endif
#ifndef EXITS
#define EXITS 1 /* times that a guest leaves on its own accord */
#endif
#ifndef MONITOR_OPS
#define MONITOR_OPS 2
#endif
#ifndef CORE_OPS
#define CORE_OPS 1
#endif
#define CORES (NC + 1)
#define NONE  0 /* no translation, no frame; frames are 1 and 2 */

/* Memory that several cores look at. Stores without a lock prefix take the way through queue[]. */
bool in_guest[NC];
byte hold;
bool flush_request[NC];
bool nmi_pending[NC];
byte sequence[CORES]; /* of read sections; odd: inside. Modulo 4. */
bit slots;            /* which of two slot sets is published */
bool table_lock;
byte entry = 1;       /* the page's second-level entry: NONE or a frame */

/* The machine. */
#define V_IN_GUEST 0
#define V_SEQUENCE 1
#define V_SLOTS    2
#define V_LOCK     3
chan queue[CORES] = [3] of { byte, byte };
bool guest_mode[NC]; /* hardware executes the guest */
bool nmi_wire[NC];   /* an NMI that has not arrived yet */
byte tlb[NC];

/* What ought to be. */
byte frame = 1;  /* what a guest may use now */
bool dead[2];    /* the slot set's memory was given back */

/*
 * A locked instruction, or a store with a fence behind it, is one step: when the queue has become
 * empty, memory changes. A store that ends somebody's wait waits itself only behind older ones: if
 * it came later, the others would but wait longer.
 */
#define FENCE(me)           empty(queue[me])
#define STORE(me, var, val) queue[me]!var, val
#define END_WAIT(me, place, var, val) \
	atomic { \
		if \
		:: empty(queue[me]) -> place = val \
		:: nempty(queue[me]) -> queue[me]!var, val \
		fi \
	}

/* The store queue and the NMI pin of a core. */
proctype wire(byte me)
{
	byte var, val;

end_idle:
	do
	:: atomic { queue[me]?var, val ->
		if
		:: var == V_IN_GUEST -> in_guest[me] = val
		:: var == V_SEQUENCE -> sequence[me] = val
		:: var == V_SLOTS -> slots = val
		:: var == V_LOCK -> table_lock = val
		fi;
		var = 0; val = 0 }
	:: atomic { me < NC && nmi_wire[me] && !guest_mode[me] ->
		nmi_wire[me] = false;
		nmi_pending[me] = true }
	od
}

/*
 * wait_outside(): see the core outside once. A held core stays outside, so one kick must do, although
 * the code repeats it. A core that nobody holds may be back before it is looked at (flush_alone):
 * there the kick has to be repeated.
 */
inline wait_outside(c, again)
{
	do
	:: atomic { in_guest[c] -> nmi_wire[c] = true };
		if
		:: !in_guest[c] -> break
#ifndef BUG_KICKED_ONLY_ONCE
		:: again && in_guest[c] && !nmi_wire[c] && !nmi_pending[c]
#endif
		fi
	:: atomic { !in_guest[c] -> break }
	od
}

inline wait_all_outside(me, again)
{
	i = 0;
	do
	:: i < NC && i == me -> i++
	:: i < NC && i != me -> wait_outside(i, again); i++
	:: i == NC -> i = 0; break
	od
}

inline mm_hold(me)
{
	atomic { FENCE(me) -> hold++ };
#ifndef BUG_HOLD_DOES_NOT_WAIT
	wait_all_outside(me, false)
#endif
}

inline mm_release(me)
{
	atomic { FENCE(me) -> hold-- }
}

inline wait_for_readers(me)
{
#ifndef BUG_NO_FENCE_BEFORE_READERS
	FENCE(me);
#endif
#ifndef BUG_READERS_NOT_AWAITED
	i = 0;
	do
	:: i < CORES && i == me -> i++
	:: i < CORES && i != me ->
		atomic { seen = sequence[i];
			if
			:: seen & 1 -> skip
			:: else -> seen = 0
			fi };
		if
		:: seen & 1 -> sequence[i] != seen
		:: else
		fi;
		i++
	:: i == CORES -> i = 0; seen = 0; break
	od
#endif
}

inline mm_flush(me, entries)
{
	if
	:: entries ->
#ifndef BUG_FLUSH_NOT_REQUESTED
		do
		:: i < NC -> atomic { FENCE(me) -> flush_request[i] = true; i++ }
		:: i == NC -> i = 0; break
		od;
#endif
#ifndef BUG_FLUSH_DOES_NOT_WAIT
		wait_all_outside(me, true)
#endif
	:: else
	fi;
	wait_for_readers(me)
}

/* Another frame behind the page, or only another slot set (a slot is renamed). */
inline commit(me)
{
	if
	:: changes = true
	:: changes = false
	fi;
	mm_hold(me);
	if
	:: changes -> atomic { FENCE(me) -> entry = 3 - frame_of_slots; frame_of_slots = entry;
			frame = entry }
	:: else
	fi;
	old = set_of_slots;
	atomic { dead[1 - old] = false; set_of_slots = 1 - old };
	STORE(me, V_SLOTS, 1 - old);
#ifdef BUG_SLOTS_FREED_FIRST
	dead[old] = true;
#endif
#ifdef BUG_RELEASE_BEFORE_FLUSH
	mm_release(me);
	mm_flush(me, changes);
#else
	mm_flush(me, changes);
	mm_release(me);
#endif
	atomic { dead[old] = true; old = 0; changes = false }
}

/* Freeze, flush, thaw; a fault brings the page back. Nobody is held. */
inline zap(me)
{
	atomic { FENCE(me) -> entry = NONE };
	mm_flush(me, true);
	/* On return the frame may belong to somebody else. */
	frame = NONE
}

byte frame_of_slots = 1; /* under table_lock */
bit set_of_slots;        /* likewise: what its holder knows that it stored to slots */

inline change_layout(me)
{
	atomic { !table_lock && empty(queue[me]) -> table_lock = true };
	if
	:: commit(me)
	:: zap(me)
	:: mm_flush(me, true)
	fi;
	END_WAIT(me, table_lock, V_LOCK, false)
}

/* The guest's own core, between exit and entry. */
inline fill(me)
{
	atomic { !table_lock && empty(queue[me]) -> table_lock = true };
	atomic { FENCE(me) -> entry = frame_of_slots; frame = entry };
	END_WAIT(me, table_lock, V_LOCK, false)
}

/* An exit handler looks a slot up without a lock. */
inline read_section(me)
{
	phase = (phase + 1) % 4;
#ifdef BUG_READ_BEGIN_WITHOUT_FENCE
	STORE(me, V_SEQUENCE, phase);
#else
	atomic { FENCE(me) -> sequence[me] = phase };
#endif
	set = slots;
	atomic { assert(!dead[set]); set = 0; phase = (phase + 1) % 4 };
	END_WAIT(me, sequence[me], V_SEQUENCE, phase)
}

inline take_flush_request(me)
{
	atomic { FENCE(me) -> flush_request[me] = false };
#ifndef BUG_REQUEST_TAKEN_WITHOUT_FLUSH
	tlb[me] = NONE
#endif
}

/* The guest ends, its requests are dropped; the next one starts on this core. */
inline reset(me)
{
	flush_request[me] = false; /* a plain store, but everybody who reads it afterwards is this core */
#ifndef BUG_RESET_WITHOUT_FLUSH
	tlb[me] = NONE
#endif
}

proctype core(byte me)
{
	byte i, seen, phase, left = EXITS, ops = (me == 0 -> CORE_OPS : 0);
	bit set, old;
	bool changes, wanted;

again:
	/* vcpu_before_entry() */
	if
	:: nmi_pending[me] ->
		atomic { FENCE(me) -> nmi_pending[me] = false };
		END_WAIT(me, in_guest[me], V_IN_GUEST, false)
	:: else
	fi;
#ifdef BUG_LOOK_BEFORE_SAYING
	wanted = flush_request[me];
	if
	:: hold || wanted -> wanted = false;
		if
		:: flush_request[me] -> take_flush_request(me)
		:: else -> !hold
		fi;
		goto again
	:: else
	fi;
	atomic { FENCE(me) -> in_guest[me] = true };
#else
#ifdef BUG_SAYING_WITHOUT_FENCE
	STORE(me, V_IN_GUEST, true);
#else
	atomic { FENCE(me) -> in_guest[me] = true };
#endif
	wanted = flush_request[me];
	if
#ifdef BUG_HOLD_NOT_LOOKED_AT
	:: wanted ->
#else
	:: hold || wanted ->
#endif
		END_WAIT(me, in_guest[me], V_IN_GUEST, false);
		if
		:: wanted -> wanted = false; take_flush_request(me)
		:: else -> !hold || flush_request[me] || nmi_pending[me] /* spinning, without the steps */
		fi;
		goto again
	:: else
	fi;
#endif

last_look:
	/* The last look at nmi_pending and VM entry: a restart region, so that no NMI comes between. */
#ifdef BUG_NO_RESTART_REGION
	if
	:: nmi_pending[me] -> goto again
	:: else
	fi;
	guest_mode[me] = true;
#else
	atomic {
		if
		:: nmi_pending[me] -> goto again
		:: else -> guest_mode[me] = true
		fi
	};
#endif

end_guest:
	do
	:: atomic { tlb[me] == NONE && entry != NONE -> tlb[me] = entry;
		assert(tlb[me] == frame) }
	:: atomic { tlb[me] != NONE && tlb[me] != frame -> assert(false) }
	:: atomic { nmi_wire[me] -> nmi_wire[me] = false; guest_mode[me] = false;
		nmi_pending[me] = true };
		break
	:: atomic { tlb[me] == NONE && entry == NONE -> guest_mode[me] = false };
		END_WAIT(me, in_guest[me], V_IN_GUEST, false);
		fill(me);
		goto again
	:: atomic { left > 0 -> left--; guest_mode[me] = false };
		break
	/* A quick exit: still said to be in the guest, and only the last look on the way back. */
	:: atomic { left > 0 -> left--; guest_mode[me] = false };
#ifdef BUG_QUICK_EXIT_SAYS_OUTSIDE
		END_WAIT(me, in_guest[me], V_IN_GUEST, false);
#endif
#ifdef BUG_QUICK_EXIT_WITHOUT_LAST_LOOK
		guest_mode[me] = true
#else
		goto last_look
#endif
	od;

	END_WAIT(me, in_guest[me], V_IN_GUEST, false); /* vcpu_exit_begin() */
	if
	:: true
#ifdef READS
	:: read_section(me)
#endif
#ifdef RESETS
	:: reset(me)
#endif
	:: ops > 0 -> ops--; change_layout(me)
	fi;
	goto again
}

proctype monitor()
{
	byte i, seen, ops = MONITOR_OPS;
	bit old;
	bool changes;

	do
	:: ops > 0 -> ops--; change_layout(NC)
	:: ops == 0 -> break
	od
}

init {
	byte i;

	atomic {
		dead[1] = true;
		do
		:: i < NC -> run core(i); run wire(i); i++
		:: else -> break
		od;
		run wire(NC);
		run monitor()
	}
}
