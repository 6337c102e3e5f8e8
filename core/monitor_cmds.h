/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_MONITOR_CMDS_H
#define LAMINA_CORE_MONITOR_CMDS_H

#include "types.h"

struct guest;
struct tdp_stats;

/* The guest that argv[index] names, or the focused one if there is no such word. NULL: told. */
struct guest *monitor_guest_arg(int argc, char **argv, int index);

/* For printing: a size with its unit, exact for page multiples; rights as `rwx`. */
#define MONITOR_SIZE_LEN 24
const char *monitor_size(uint64_t bytes, char text[MONITOR_SIZE_LEN]);
const char *monitor_rights(unsigned access, char text[4]);

/* A line of `mmustat`. */
void monitor_dirty_stats(const struct guest *g, const struct tdp_stats *stats);

/* The edits of a transaction, for completion. */
extern const unsigned monitor_edit_count;
const char *monitor_edit_name(unsigned i);

void cmd_guests(int argc, char **argv);
void cmd_console(int argc, char **argv);
void cmd_pause(int argc, char **argv);
void cmd_resume(int argc, char **argv);
void cmd_reset(int argc, char **argv);
void cmd_stop(int argc, char **argv);
void cmd_start(int argc, char **argv);
void cmd_regs(int argc, char **argv);
void cmd_stat(int argc, char **argv);
void cmd_mem(int argc, char **argv);
void cmd_footprint(int argc, char **argv);
void cmd_pt(int argc, char **argv);
void cmd_io(int argc, char **argv);
void cmd_devs(int argc, char **argv);
void cmd_iommu(int argc, char **argv);
void cmd_slots(int argc, char **argv);
void cmd_mmustat(int argc, char **argv);
void cmd_dirty(int argc, char **argv);
void cmd_zap(int argc, char **argv);
void cmd_split(int argc, char **argv);
void cmd_merge(int argc, char **argv);
void cmd_itlb(int argc, char **argv);
void cmd_txn(int argc, char **argv);
void cmd_edit(int argc, char **argv);
void cmd_share(int argc, char **argv);
void cmd_unshare(int argc, char **argv);

#endif
