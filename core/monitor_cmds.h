/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_MONITOR_CMDS_H
#define LAMINA_CORE_MONITOR_CMDS_H

struct guest;

/* The guest that argv[index] names, or the focused one if there is no such word. NULL: told. */
struct guest *monitor_guest_arg(int argc, char **argv, int index);

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
void cmd_pt(int argc, char **argv);
void cmd_io(int argc, char **argv);

#endif
