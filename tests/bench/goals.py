# SPDX-License-Identifier: BSD-2-Clause
"""What the measurements are held against. A goal is met, missed, or cannot be judged."""
import keys

PASS, SHORT, UNKNOWN = "pass", "falls short", "not measured"
RATIO = 5         # KVM's instructions for one of Lamina's, at least, per round trip
BOOT = 0.01       # of a kernel's instructions to its init, at most, on top of the bare machine's
SLOT_RATIO = 100  # KVM's for one of Lamina's: a slot of one page and all memory touched after it
FLAT = 0.05       # what the guest's size may change
IMAGE = 256 << 10
PER_GUEST = 1 << 20


def cost(results, host, env, key):
    """What the hypervisor adds: without what the operation takes on the bare machine."""
    n = keys.value(results, host, env, key)
    if n is None or env == "bare":
        return n
    return max(n - (keys.value(results, host, "bare", key) or 0), 0)


def kvm(results, host, key):
    """What KVM adds. On a CPU that it takes for affected by L1TF, without the loop that stands in for
    the flush of an L1 cache there: the smaller of both numbers."""
    known = [n for n in (cost(results, host, env, key) for env in ("kvm", keys.NOFLUSH))
             if n is not None]
    return min(known, default=None)


def ratio(results, host, key):
    """KVM's instructions for each of Lamina's; None if either is unknown, or if both take none."""
    ours, theirs = cost(results, host, "lamina", key), kvm(results, host, key)
    if ours is None or theirs is None or not ours and not theirs:
        return None
    return theirs / ours if ours else float("inf")


def verdict(good):
    return UNKNOWN if good is None else PASS if good else SHORT


def worst(good):
    """All must hold; what is unknown does not count, unless nothing is known."""
    known = [g for g in good if g is not None]
    return all(known) if known else None


def round_trip(results, host, key):
    r = ratio(results, host, key)
    return None if r is None else r >= RATIO


def judge_round_trips(results, host):
    found = {key: round_trip(results, host, key) for key in keys.ROUND_TRIPS}
    known = [key for key, good in found.items() if good is not None]
    short = [f"{keys.ROUND_TRIPS[key]} (1/{ratio(results, host, key):.1f})"
             for key in known if not found[key]]
    text = f"{len(known) - len(short)} of {len(known)}"
    return worst(found.values()), text + ("; not " + ", ".join(short) if short else "")


def judge_short(results, host):
    if host != "bochs":
        return None
    found = {key: keys.value(results, host, "lamina", key) for key in keys.SHORT}
    known = {key: n for key, n in found.items() if n is not None}
    return (worst(n <= keys.SHORT_LIMIT for n in known.values()),
            ", ".join(f"{keys.ROUND_TRIPS[key]} {n}" for key, n in known.items()))


def judge_exits(results, host, state):
    n = keys.value(results, host, "lamina", f"exits_{state}")
    theirs = keys.value(results, host, "kvm", f"exits_{state}")
    per = {env: keys.value(results, host, env, f"seconds_{state}") for env in ("lamina", "kvm")}
    text = "" if n is None else f"{n} in {per['lamina']} s"
    if theirs is not None and per["kvm"]:
        text += f"; KVM {theirs / per['kvm']:.0f} a second"
    return None if n is None else n == 0, text


def judge_interrupt(results, host):
    ours, bare = (keys.value(results, host, env, "irq_timer") for env in ("lamina", "bare"))
    if ours is None or bare is None:
        return None, ""
    return ours <= bare, f"{ours - bare:+,}"


def judge_boot(results, host):
    ours, bare, theirs = (keys.value(results, host, env, "boot_init")
                          for env in ("lamina", "bare", "kvm"))
    if ours is None or bare is None:
        return None, ""
    text = f"{ours / bare - 1:+.2%}"
    return ours / bare - 1 <= BOOT, text + (f"; KVM {theirs / bare - 1:+.2%}" if theirs else "")


def slot_cost(results, host, env, size=max(keys.SIZES), kind=""):
    """Deleting and creating the slot and touching all memory again, less what touching it takes
    when nothing has been done; kind: "_all" for zap=all, "_huge" for large pages of KVM's host."""
    parts = [keys.value(results, host, env, f"{key}{kind}_{size}")
             for key in ("slot_cycle", "slot_retouch", "slot_warm")]
    return None if None in parts else max(parts[0] + parts[1] - parts[2], 1)


def judge_slots(results, host):
    ours, theirs = (slot_cost(results, host, env) for env in ("lamina", "kvm"))
    if ours is None or theirs is None:
        return None, ""
    return theirs / ours >= SLOT_RATIO, f"1/{theirs / ours:,.0f}"


def judge_flat(results, host):
    found = [n for n in (slot_cost(results, host, "lamina", size) for size in keys.SIZES)
             if n is not None]
    if len(found) < 2:
        return None, ""
    return (max(found) <= min(found) * (1 + FLAT),
            f"{min(found):,} to {max(found):,} instructions")


def judge_image(results, _):
    sizes = results.get("results", {}).get("build", {}).get("image", {})
    n = sizes.get("file")
    return None if n is None else n <= IMAGE, "" if n is None else \
        f"{n / 1024:.0f} KiB, the hypervisor in it packed; that alone, unpacked: " \
        f"{sizes.get('hypervisor', 0) / 1024:.0f} KiB"


def judge_guest(results, host):
    n = keys.value(results, host, "lamina", "memory_guest")
    return None if n is None else n <= PER_GUEST, "" if n is None else f"{n / 1024:.0f} KiB"


EVERYWHERE = (
    (f"each round trip at most 1/{RATIO} of KVM's", judge_round_trips),
    (f"CPUID, hypercall, RDMSR, WRMSR at most {keys.SHORT_LIMIT} instructions", judge_short),
    ("no exit of an idle kernel", lambda r, h: judge_exits(r, h, "idle")),
    ("no exit of a busy kernel", lambda r, h: judge_exits(r, h, "busy")),
    ("no instruction more than bare to deliver an interrupt", judge_interrupt),
    (f"a kernel's boot to init at most {BOOT:.0%} more than bare", judge_boot),
    (f"small slot deleted, created, {max(keys.SIZES)} MiB touched again: at most 1/{SLOT_RATIO} of "
     "KVM's", judge_slots),
    ("the same whatever the guest's size", judge_flat),
    (f"at most {PER_GUEST >> 20} MiB for a guest, besides its tables", judge_guest),
)
ONCE = ((f"image at most {IMAGE >> 10} KiB", judge_image),)


def judge(results):
    """[{goal, host, verdict, measured}], one for each goal and emulator."""
    out = []
    for text, function in EVERYWHERE:
        for host in keys.HOSTS:
            found = function(results, host)
            if found is not None:
                out.append({"goal": text, "host": host, "verdict": verdict(found[0]),
                            "measured": found[1]})
    for text, function in ONCE:
        good, measured = function(results, None)
        out.append({"goal": text, "host": "", "verdict": verdict(good), "measured": measured})
    return out
