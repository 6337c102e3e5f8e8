// SPDX-License-Identifier: BSD-2-Clause
/*
 * The second-level tables: transactions, faults, zaps, splits and collapses against cores and a
 * device that walk them and keep what they like of what they saw.
 *
 * Follows mm/tdp_*.c. What is not here: rights, memory types, how many entries a table has, and how
 * a core is kept out of its guest or told to flush; entry.pml shows that the latter does what is one
 * step here. Stores to live entries are locked instructions, and TSO lets nobody see one before the
 * plain stores to new tables that precede it, so memory is sequentially consistent here.
 *
 * Four guest pages in two spans; a root table per view with one entry a span, tables of two entries
 * below. Span 0 can be one large leaf. A walker is interested in one page, its choice, and may
 * remember one leaf and one table: a wrong use is the use of one translation, and which one is tried
 * exhaustively.
 *
 * Checked:
 *  - a core in guest mode translates by the layout of that moment, not by any other (I3, I4);
 *  - a device translates by it, while a transaction is published by either one; a page that both
 *    layouts map is never found unmapped (I4);
 *  - what was mapped and was not taken away is never found unmapped: no fault that is not due;
 *  - after the flush nobody can use what it covers, a table that is freed is on nobody's way (I3);
 *  - no table is lost, none is read after it was freed;
 *  - nobody waits forever.
 */
#ifndef NC
#define NC 2 /* cores of the guest */
#endif
#ifndef NT
#define NT 4 /* table pages below the roots */
#endif
#ifndef VIEWS
#define VIEWS 1 /* 2: the device walks tables of its own */
#endif
#ifndef OPS0
#define OPS0 1 /* operations of the monitor's core */
#endif
#ifndef OPS1
#define OPS1 0 /* operations of core 0, between exit and entry */
#endif
#ifdef DEVICE
#define WALKERS (NC + 1)
#else
#define WALKERS NC
#endif
#define DEV      NC          /* the device's number as a walker */
#define DEV_VIEW (VIEWS - 1)
#define NOBODY   NC

/* Entries. */
#define EMPTY       0
#define FROZEN      1
#define FREED       2 /* what a page holds that is not a table any more */
#define KEEP        3 /* in an image: not to be exchanged */
#define LEAF(f)     (8 + (f))
#define TABLE(t)    (32 + (t))
#define IS_LEAF(e)  ((e) >= 8 && (e) < 32)
#define IS_TABLE(e) ((e) >= 32)
#define FRAME(e)    ((e) - 8)
#define CHILD(e)    ((e) - 32)

/*
 * Layouts: the frame of each page, 0: none. Pages 0 and 2 are in all; 0 and 1 are one large page
 * in layouts 0 and 2.
 *	0:  1 2  3 4
 *	1:  1 5  3 -
 *	2:  1 2  3 6
 */
#define MAP(l, g)   ((g) == 0 -> 1 : ((g) == 1 -> ((l) == 1 -> 5 : 2) : ((g) == 2 -> 3 : \
		     ((l) == 0 -> 4 : ((l) == 1 -> 0 : 6)))))
#define LARGE(l, i) ((i) == 0 && (l) != 1)
#define DIFFERS(a, b, i) (MAP(a, 2 * (i)) != MAP(b, 2 * (i)) || MAP(a, 2 * (i) + 1) != MAP(b, 2 * (i) + 1))

byte root[2 * VIEWS];
byte tab[2 * NT];
bool live[NT];

byte slots;   /* the published layout */
byte version; /* of it; one transaction each, so it does not wrap */
bool layout_lock, lock;
bool changed; /* a fault changed tables since the last prepare began */

/* Cores and the device. */
bool in_guest[NC], hold, flush[NC];
bool invalidate; /* a command in the IOMMU's queue */
byte busy = NOBODY; /* this core executes an operation */
byte gfn[WALKERS], tlb[WALKERS], psc[WALKERS]; /* a frame, a table + 1; 0: nothing */

/* What ought to be. */
bool publishing;
byte former;   /* the layout before, while publishing */
byte must = 0; /* pages that cores must find mapped, as bits */

#define MUST(g) ((must >> (g)) & 1)

inline lock_layout()
{
	atomic { !layout_lock -> layout_lock = true }
}

inline lock_tables()
{
	atomic { !lock -> lock = true }
}

/* A page from the budget: t, or NT. */
inline alloc_table(t)
{
	t = 0;
	do
	:: t < NT && live[t] -> t++
	:: else -> break
	od;
	if
	:: t < NT -> live[t] = true; tab[2 * t] = EMPTY; tab[2 * t + 1] = EMPTY
	:: else
	fi
}

#define ON_WAY(w, t)   (psc[w] == (t) + 1)
#define CAN_USE(c)     (in_guest[c] || !flush[c])

/* mm_free(): nobody may be able to reach the table, a core that will flush before it enters apart. */
inline free_table(t)
{
	d_step {
		assert(live[t]);
		assert(!(ON_WAY(0, t) && CAN_USE(0)));
#if NC > 1
		assert(!(ON_WAY(1, t) && CAN_USE(1)));
#endif
#ifdef DEVICE
		assert(!ON_WAY(DEV, t));
#endif
		live[t] = false;
		tab[2 * t] = FREED;
		tab[2 * t + 1] = FREED
	}
}

inline mm_hold()
{
	hold = true;
	!in_guest[0];
#if NC > 1
	!in_guest[1]
#endif
}

inline mm_flush()
{
	d_step {
		flush[0] = true;
#if NC > 1
		flush[1] = true;
#endif
#if defined(DEVICE) && !defined(BUG_IOTLB_NOT_INVALIDATED)
		invalidate = true
#endif
	};
	!in_guest[0];
#if NC > 1
	!in_guest[1];
#endif
#if defined(DEVICE) && !defined(BUG_IOTLB_NOT_AWAITED)
	!invalidate
#endif
}

/* A core's fault on a page that its slot allows: tdp_fault() behind classify(), under the lock. */
inline fill(g, e, t)
{
	e = root[g / 2];
	if
	:: IS_TABLE(e) ->
		t = CHILD(e);
		assert(tab[2 * t + g % 2] != FREED);
		if
#ifdef BUG_FROZEN_OVERWRITTEN
		:: tab[2 * t + g % 2] == EMPTY || tab[2 * t + g % 2] == FROZEN ->
#else
		:: tab[2 * t + g % 2] == EMPTY ->
#endif
			tab[2 * t + g % 2] = LEAF(MAP(wanted, g));
			must = must | (1 << g);
			changed = true
		:: else
		fi
#ifdef BUG_FROZEN_OVERWRITTEN
	:: e == EMPTY || e == FROZEN ->
#else
	:: e == EMPTY ->
#endif
		if
		:: LARGE(wanted, g / 2) ->
			root[g / 2] = LEAF(MAP(wanted, g - g % 2));
			must = must | (3 << (g - g % 2));
			changed = true
		:: else ->
			alloc_table(t);
			if
			:: t < NT ->
				tab[2 * t + g % 2] = LEAF(MAP(wanted, g));
				root[g / 2] = TABLE(t);
				must = must | (1 << g);
				changed = true
			:: else
			fi
		fi
	:: else /* a leaf: spurious; FROZEN: try again */
	fi;
	e = 0;
	t = 0
}

/* An instruction fetch from a large leaf: the child complete, then one exchange. */
inline split(i, e, t)
{
	e = root[i];
	if
	:: IS_LEAF(e) ->
		alloc_table(t);
		if
		:: t < NT ->
#ifndef BUG_LINKED_BEFORE_FILLED
			tab[2 * t] = e;
			tab[2 * t + 1] = e + 1;
#endif
			root[i] = TABLE(t);
			changed = true
		:: else
		fi
	:: else
	fi;
	e = 0
}

proctype core(byte me)
{
	byte e, t, seen, wanted;
#define g gfn[me]

outside:
	/* VM entry. */
	atomic {
		!hold && busy != me;
		if
		:: flush[me] -> flush[me] = false; tlb[me] = 0; psc[me] = 0
		:: else
		fi;
		in_guest[me] = true
	};

end_guest:
	do
	/* An access through what the TLB holds. */
	:: atomic { tlb[me] && tlb[me] != MAP(slots, g) -> assert(false) }
	/* Walks, from the root or from a table that is remembered. */
	:: atomic { psc[me] == 0 && IS_LEAF(root[g / 2]) ->
		tlb[me] = FRAME(root[g / 2]) + g % 2;
		assert(tlb[me] == MAP(slots, g)) }
	:: atomic { psc[me] == 0 && IS_TABLE(root[g / 2]) -> psc[me] = CHILD(root[g / 2]) + 1 }
	:: atomic { psc[me] == 0 && root[g / 2] < 8 ->
		assert(root[g / 2] != FREED && !(root[g / 2] == EMPTY && MUST(g)));
		in_guest[me] = false };
		goto fault
	:: atomic { psc[me] && IS_LEAF(tab[2 * (psc[me] - 1) + g % 2]) ->
		tlb[me] = FRAME(tab[2 * (psc[me] - 1) + g % 2]);
		assert(tlb[me] == MAP(slots, g)) }
	:: atomic { psc[me] && !IS_LEAF(tab[2 * (psc[me] - 1) + g % 2]) ->
		e = tab[2 * (psc[me] - 1) + g % 2];
		assert(e != FREED && !(e == EMPTY && MUST(g)));
		e = 0;
		in_guest[me] = false };
		goto fault
	/* Caches may forget. */
	:: tlb[me] -> tlb[me] = 0
	:: psc[me] -> psc[me] = 0
#ifdef SPLITS
	:: atomic { psc[me] == 0 && IS_LEAF(root[g / 2]) -> in_guest[me] = false };
		goto fetch_fault
#endif
	/* Any other exit, or a kick. */
	:: atomic { hold || flush[me] || busy == me || OPS1 -> in_guest[me] = false };
		goto outside
	od;

fault:
	/* classify(): a read section, so that the set and its version belong together. */
	atomic { seen = version; wanted = slots };
	if
	:: MAP(wanted, g) == 0 -> goto done /* emulated */
	:: else
	fi;
	/* What happens under the lock is one store to a live entry, so it is one step. */
	atomic {
		!lock;
		d_step {
			if
#ifdef BUG_FAULT_SKIPS_VERSION_CHECK
			:: true -> fill(g, e, t)
#else
			:: version == seen -> fill(g, e, t)
			:: else
#endif
			fi
		}
	};
done:
	atomic { seen = 0; wanted = 0; goto outside };

fetch_fault:
#ifdef SPLITS
	atomic { !lock -> d_step { split(g / 2, e, t) }
#ifdef BUG_LINKED_BEFORE_FILLED
		lock = true };
	if
	:: t < NT && root[g / 2] == TABLE(t) && tab[2 * t] == EMPTY ->
		tab[2 * t] = LEAF(MAP(slots, g - g % 2));
		tab[2 * t + 1] = LEAF(MAP(slots, g - g % 2 + 1))
	:: else
	fi;
	atomic { lock = false
#endif
	};
	atomic { t = 0; goto outside };
#endif
	skip
#undef g
}

#ifdef DEVICE
#define g gfn[DEV]
/* May the device use this frame for its page, or (0) find it unmapped? */
#define DEV_MAY(f) ((f) == MAP(slots, g) || publishing && (f) == MAP(former, g))
#define DROOT      root[2 * DEV_VIEW + g / 2]

proctype device()
{
end_device:
	do
	:: atomic { tlb[DEV] && !DEV_MAY(tlb[DEV]) -> assert(false) }
	:: atomic { psc[DEV] == 0 && IS_LEAF(DROOT) ->
		tlb[DEV] = FRAME(DROOT) + g % 2;
		assert(DEV_MAY(tlb[DEV])) }
	:: atomic { psc[DEV] == 0 && IS_TABLE(DROOT) -> psc[DEV] = CHILD(DROOT) + 1 }
	:: atomic { psc[DEV] == 0 && DROOT < 8 && !DEV_MAY(0) -> assert(false) }
	:: atomic { psc[DEV] && IS_LEAF(tab[2 * (psc[DEV] - 1) + g % 2]) ->
		tlb[DEV] = FRAME(tab[2 * (psc[DEV] - 1) + g % 2]);
		assert(DEV_MAY(tlb[DEV])) }
	:: atomic { psc[DEV] && tab[2 * (psc[DEV] - 1) + g % 2] < 8 ->
		assert(tab[2 * (psc[DEV] - 1) + g % 2] != FREED);
		assert(DEV_MAY(0)) }
	:: tlb[DEV] -> tlb[DEV] = 0
	:: psc[DEV] -> psc[DEV] = 0
	:: atomic { invalidate -> tlb[DEV] = 0; psc[DEV] = 0; invalidate = false }
	od
}
#undef g
#endif

/* Give back what an abandoned prepare has made: it was never linked. */
inline drop_fresh()
{
	i = 0;
	do
	:: i < NT -> if
		:: (fresh >> i) & 1 -> free_table(i)
		:: else
		fi;
		i++
	:: i == NT -> break
	od;
	fresh = 0;
	i = 0
}

/*
 * Build what replaces span i of view v. Reads tables that faults may be changing: each read is a step.
 * If only this span changes and stays a table, its table is edited in place: low.
 */
inline prepare_span(v, i)
{
	e = root[2 * v + i];
	assert(e != FREED);
	if
	:: LARGE(new, i) ->
		d_step {
			image[2 * v + i] = LEAF(MAP(new, 2 * i));
			if
			:: IS_TABLE(e) -> dead = dead | (1 << CHILD(e))
			:: else
			fi
		}
	:: else ->
		d_step { alloc_table(t) };
		if
		:: t == NT -> failed = true
		:: else ->
			fresh = fresh | (1 << t);
			j = 0;
			do
			:: j < 2 ->
				d_step {
					if
					:: MAP(old, 2 * i + j) != MAP(new, 2 * i + j) ->
						tab[2 * t + j] = (MAP(new, 2 * i + j) ->
							LEAF(MAP(new, 2 * i + j)) : EMPTY)
					:: else ->
						if
						:: IS_LEAF(e) -> tab[2 * t + j] = e + j
						:: IS_TABLE(e) ->
							assert(tab[2 * CHILD(e) + j] != FREED);
							tab[2 * t + j] = tab[2 * CHILD(e) + j]
						:: else -> tab[2 * t + j] = EMPTY
						fi
					fi;
					j++
				}
			:: j == 2 -> break
			od;
			j = 0;
			d_step {
				image[2 * v + i] = TABLE(t);
				if
				:: IS_TABLE(e) -> dead = dead | (1 << CHILD(e))
				:: else
				fi
			}
		fi;
		t = 0
	fi;
	e = 0
}

inline prepare()
{
	d_step {
		changed = false;
		dead = 0;
		low = NT;
		image[0] = KEEP; image[1] = KEEP;
#if VIEWS > 1
		image[2] = KEEP; image[3] = KEEP
#endif
	};
#if VIEWS == 1
	/* One table covers all that changes, and stays: its entries are exchanged. */
	d_step {
		if
		:: !DIFFERS(old, new, 0) && IS_TABLE(root[1]) -> low = CHILD(root[1])
		:: else
		fi
	};
#endif
	v = 0;
	do
	:: v < VIEWS && low == NT ->
		if
		:: DIFFERS(old, new, 0) -> prepare_span(v, 0)
		:: else
		fi;
		if
		:: DIFFERS(old, new, 1) && !failed -> prepare_span(v, 1)
		:: else
		fi;
		v++
	:: else -> v = 0; break
	od
}

/* One exchange. */
inline exchange(entry, value)
{
#ifdef BUG_UNMAPPED_IN_BETWEEN
	entry = EMPTY;
#endif
	entry = value
}

/* The pages that differ are mapped now if the new layout has them, the others as they were. */
#define NOW_MAPPED(g) (MAP(old, g) == MAP(new, g) -> must & (1 << g) : (MAP(new, g) -> (1 << g) : 0))

inline publish()
{
#ifndef BUG_COMMIT_WITHOUT_HOLD
	mm_hold();
#endif
	d_step { publishing = true; former = new };
	if
	:: low < NT ->
		e = (MAP(new, 3) -> LEAF(MAP(new, 3)) : EMPTY);
		exchange(tab[2 * low + 1], e);
		e = 0
	:: else ->
		i = 0;
		do
		:: i < 2 * VIEWS -> if
			:: image[i] != KEEP -> exchange(root[i], image[i])
			:: else
			fi;
			i++
		:: i == 2 * VIEWS -> break
		od;
		i = 0
	fi;
	d_step {
		former = old;
		slots = new;
		version++;
		must = NOW_MAPPED(0) + NOW_MAPPED(1) + NOW_MAPPED(2) + NOW_MAPPED(3)
	};
#ifdef BUG_RELEASE_BEFORE_FLUSH
	hold = false;
#endif
#ifndef BUG_COMMIT_WITHOUT_FLUSH
	mm_flush();
#endif
	d_step { publishing = false; former = 0; hold = false }
}

inline free_dead()
{
	i = 0;
	do
	:: i < NT -> if
		:: (dead >> i) & 1 -> free_table(i)
		:: else
		fi;
		i++
	:: i == NT -> i = 0; break
	od;
	dead = 0
}

/* tdp_begin() to tdp_commit(). */
inline commit()
{
	seen = version; /* tdp_begin(): the draft is a copy of this version */
	if
	:: slots != 0 -> new = 0
	:: slots != 1 -> new = 1
	:: slots != 2 -> new = 2
	fi;
#ifndef BUG_PREPARE_WITHOUT_LAYOUT_LOCK
	lock_layout();
#endif
	if
#ifndef BUG_COMMIT_SKIPS_VERSION_CHECK
	:: version != seen /* ERR_BUSY */
#endif
	:: else ->
		old = slots;
		prepare();
		if
		:: failed -> drop_fresh() /* ERR_NOMEM */
		:: else ->
			lock_tables();
#ifndef BUG_CHANGED_TABLES_NOT_NOTICED
			if
			:: changed -> drop_fresh(); prepare() /* the last try: under both locks */
			:: else
			fi;
#endif
			if
			:: failed -> drop_fresh(); lock = false
			:: else ->
				assert(version == seen);
#ifdef BUG_COMMIT_FREES_BEFORE_FLUSH
				free_dead();
#endif
				publish();
				lock = false;
				fresh = 0;
				free_dead()
			fi
		fi
	fi;
	d_step { failed = false; old = 0; new = 0; low = 0; fresh = 0; seen = 0; dead = 0; image[0] = 0; image[1] = 0;
#if VIEWS > 1
		image[2] = 0; image[3] = 0
#endif
	};
	layout_lock = false
}

/*
 * Freeze, flush, thaw, free. The code keeps the lock all the while. With ZAP_UNLOCKED it does not, and
 * faults find FROZEN: what the state is for.
 */
#ifdef ZAP_UNLOCKED
#define ZAP_UNLOCK lock = false
#define ZAP_LOCK   lock_tables()
#else
#define ZAP_UNLOCK skip
#define ZAP_LOCK   skip
#endif
inline zap()
{
#ifndef BUG_ZAP_WITHOUT_LAYOUT_LOCK
	lock_layout();
#endif
	if
	:: /* pages 0 and 1 */
		lock_tables();
		d_step {
			e = root[0];
			if
			:: e != EMPTY ->
				must = must & ~3;
				root[0] = FROZEN
			:: else
			fi
		};
		ZAP_UNLOCK;
#ifdef BUG_ZAP_FREES_BEFORE_FLUSH
		if
		:: IS_TABLE(e) -> free_table(CHILD(e)); e = EMPTY
		:: else
		fi;
#endif
#ifndef BUG_ZAP_WITHOUT_FLUSH
		mm_flush();
#endif
		d_step {
			assert(!(e != EMPTY && gfn[0] < 2 && CAN_USE(0) && tlb[0]));
#if NC > 1
			assert(!(e != EMPTY && gfn[1] < 2 && CAN_USE(1) && tlb[1]))
#endif
		};
		ZAP_LOCK;
		d_step {
			if
			:: e != EMPTY -> assert(root[0] == FROZEN); root[0] = EMPTY
			:: else
			fi;
			lock = false
		};
		if
		:: IS_TABLE(e) -> free_table(CHILD(e))
		:: else
		fi
	:: /* page 3, in a table that stays */
		lock_tables();
		d_step {
			e = (IS_TABLE(root[1]) -> root[1] : EMPTY);
			if
			:: e != EMPTY && tab[2 * CHILD(e) + 1] == EMPTY -> e = EMPTY
			:: e != EMPTY && tab[2 * CHILD(e) + 1] != EMPTY ->
				must = must & ~8;
				tab[2 * CHILD(e) + 1] = FROZEN
			:: else
			fi
		};
		ZAP_UNLOCK;
#ifndef BUG_ZAP_WITHOUT_FLUSH
		mm_flush();
#endif
		d_step {
			assert(!(e != EMPTY && gfn[0] == 3 && CAN_USE(0) && tlb[0]));
#if NC > 1
			assert(!(e != EMPTY && gfn[1] == 3 && CAN_USE(1) && tlb[1]))
#endif
		};
		ZAP_LOCK;
		d_step {
			if
			:: e != EMPTY ->
				assert(tab[2 * CHILD(e) + 1] == FROZEN);
				tab[2 * CHILD(e) + 1] = EMPTY
			:: else
			fi;
			lock = false
		}
	fi;
	e = 0;
	layout_lock = false
}

/* A table whose entries together are a large leaf becomes one, in either view. */
inline collapse()
{
	lock_layout();
	if
	:: v = 0
#if VIEWS > 1
	:: v = 1
#endif
	fi;
	lock_tables();
	d_step {
		e = EMPTY;
		if
		:: LARGE(slots, 0) && IS_TABLE(root[2 * v]) && IS_LEAF(tab[2 * CHILD(root[2 * v])]) &&
		   IS_LEAF(tab[2 * CHILD(root[2 * v]) + 1]) ->
			e = root[2 * v];
			root[2 * v] = LEAF(MAP(slots, 0))
		:: else
		fi;
		lock = false
	};
	if
	:: e != EMPTY ->
#ifdef BUG_COLLAPSE_FREES_BEFORE_FLUSH
		free_table(CHILD(e));
#endif
#ifndef BUG_COLLAPSE_WITHOUT_FLUSH
		mm_flush();
#endif
		free_table(CHILD(e))
	:: else
	fi;
	d_step { e = 0; v = 0 };
	layout_lock = false
}

/* The device's view is split by whoever holds the layout lock. */
inline split_view(view)
{
	lock_layout();
	atomic { !lock -> d_step { split(2 * view, e, t); t = 0 } };
	layout_lock = false
}

/* Each page is linked from one place or free. */
inline check_tables()
{
	atomic {
		!layout_lock && !lock;
		d_step {
			i = 0;
			do
			:: i < NT ->
				j = (root[0] == TABLE(i)) + (root[1] == TABLE(i));
#if VIEWS > 1
				j = j + (root[2] == TABLE(i)) + (root[3] == TABLE(i));
#endif
				assert(j == live[i]);
				i++
			:: else -> break
			od;
			i = 0; j = 0
		}
	}
}

#define HAS(ops, op) ((ops) & (op))
#define COMMIT   1
#define ZAP      2
#define COLLAPSE 4
#ifndef WHAT
#define WHAT (COMMIT | ZAP | COLLAPSE)
#endif

proctype operator(byte ops; bool on_core)
{
	byte e, t, seen, old, new, low, fresh, dead, i, j, v;
	byte image[2 * VIEWS];
	bool failed;

	do
	:: ops > 0 ->
		ops--;
		if
		:: on_core -> atomic { !in_guest[0] && busy == NOBODY -> busy = 0 }
		:: else
		fi;
		if
#if WHAT & 1
		:: commit()
#endif
#if WHAT & 2
		:: zap()
#endif
#if WHAT & 4
		:: collapse()
#endif
#if VIEWS > 1
		:: split_view(1)
#endif
		:: skip
		fi;
		if
		:: on_core -> busy = NOBODY
		:: else
		fi
	:: ops == 0 -> break
	od;
	check_tables()
}

/* Layout 0, mapped; or, with FAULTS, not mapped as far as chance wants it. */
init {
	byte i;

	atomic {
		live[0] = true;
		tab[0] = LEAF(3); tab[1] = LEAF(4);
		root[0] = LEAF(1); root[1] = TABLE(0);
		must = 15;
#ifdef FAULTS
		if
		:: true
		:: root[0] = EMPTY; must = must & ~3
		:: tab[1] = EMPTY; must = must & ~8
		:: root[1] = EMPTY; live[0] = false; must = must & ~12
		fi;
#endif
#if VIEWS > 1
		live[1] = true;
		tab[2] = LEAF(3); tab[3] = LEAF(4);
		root[2] = LEAF(1); root[3] = TABLE(1);
#endif
		i = 0;
		do
		:: i < WALKERS -> if
			:: gfn[i] = 0
			:: gfn[i] = 1
			:: gfn[i] = 2
			:: gfn[i] = 3
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < NC -> run core(i); i++
		:: else -> break
		od;
		i = 0;
#ifdef DEVICE
		run device();
#endif
		run operator(OPS0, false);
#if OPS1
		run operator(OPS1, true)
#endif
	}
}
