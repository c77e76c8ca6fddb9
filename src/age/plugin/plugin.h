/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins of age (C2SP age-plugin.md): programs named age-plugin-NAME that wrap and unwrap file
 * keys, often with hardware, and exchange stanzas over their standard input and output.
 *
 * A plugin is installed by the user and sees the file keys of its recipients, but nothing else: it
 * is searched only in the absolute directories of PATH and started without a shell, with captured
 * standard error, in the root directory, and without SOPS_AGE_KEY in its environment. Its messages
 * are limited in size, number and time, and its texts are stripped of control characters.
 */
#ifndef VMCRED_AGE_PLUGIN_PLUGIN_H
#define VMCRED_AGE_PLUGIN_PLUGIN_H

#include <signal.h>
#include <sys/types.h>

#include "age/age.h"
#include "age/header.h"

/* Starts as {0}. A running plugin. */
struct plugin {
	const char *name;
	const struct age_prompt *prompt; /* for its questions; may be NULL */
	pid_t pid;
	int in_fd, out_fd;      /* its standard input and output, or -1 */
	int error_fd;           /* a memory file: its standard error */
	struct secret received; /* what it sent */
	size_t taken;           /* bytes of it that were consumed as stanzas */
	size_t stanzas;         /* number of stanzas consumed */
	struct secret body;     /* of the last one */
	bool waited;            /* the user knows that we are waiting */
	sigset_t signals;       /* the thread's previous signal mask */
	bool pipe_pending;      /* a SIGPIPE was pending before */
};

#define _cleanup_plugin_ __attribute__((cleanup(plugin_stop)))

/*
 * Starts age-plugin-NAME for a state machine, such as "identity-v1". VMCRED_MISSING: it is not
 * installed. SIGPIPE is blocked in this thread until plugin_stop().
 */
int plugin_start(struct plugin *plugin, const char *name, const char *machine,
		 const struct age_prompt *prompt, struct error *err);

/* Ends the session and waits for the process; kills it if it does not exit. */
void plugin_stop(struct plugin *plugin);

/* Sends a stanza; `line` is its type and arguments. */
int plugin_send(struct plugin *plugin, const char *line, struct span body, struct error *err);

/* Waits for the next stanza, which lives until the next call. */
int plugin_receive(struct plugin *plugin, struct age_stanza *stanza, struct error *err);

/*
 * Answers a plugin's question (msg, confirm, request-secret, request-public), or replies
 * "unsupported" to an unknown one.
 */
int plugin_answer(struct plugin *plugin, const struct age_stanza *stanza, struct error *err);

/* The printable text of a stanza's body, in new memory; NULL without memory. */
char *plugin_text(struct span bytes);

/* Acknowledges the error that a plugin reports, and sets it. Always negative. */
int plugin_error(struct plugin *plugin, const struct age_stanza *stanza, struct error *err);

#endif
