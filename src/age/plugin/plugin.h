/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins of age (C2SP age-plugin.md): programs named age-plugin-NAME that wrap and unwrap file
 * keys, often with hardware, and talk in stanzas over their standard input and output.
 *
 * A plugin is a program that the user has installed, and sees the file keys that it is for. It is
 * still kept from more: it is found on the absolute folders of PATH only and started without a
 * shell, with its standard error caught, the root folder as its working folder, and an environment
 * without SOPS_AGE_KEY. What it sends is limited in size, in number and in time, and what it says
 * to a person is stripped of control characters.
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
	const struct age_prompt *prompt; /* of whom it asks; may be NULL */
	pid_t pid;
	int in_fd, out_fd;      /* its standard input and output; -1 where there is none */
	int error_fd;           /* a memory file: its standard error */
	struct secret received; /* what it sent */
	size_t taken;           /* bytes of it that were taken as stanzas */
	size_t stanzas;         /* how many these were */
	struct secret body;     /* of the last one */
	bool waited;            /* the person was told that it takes a while */
	sigset_t signals;       /* the thread's signal mask before */
	bool pipe_pending;      /* a SIGPIPE was pending before */
};

#define _cleanup_plugin_ __attribute__((cleanup(plugin_stop)))

/*
 * Starts age-plugin-NAME for a state machine, such as "identity-v1". VMCRED_MISSING: it is not
 * installed. SIGPIPE is blocked in this thread until plugin_stop().
 */
int plugin_start(struct plugin *plugin, const char *name, const char *machine,
		 const struct age_prompt *prompt, struct error *err);

/* Ends the session and waits for the process, which is killed if it does not go. */
void plugin_stop(struct plugin *plugin);

/* Sends a stanza; `line` is its type and arguments. */
int plugin_send(struct plugin *plugin, const char *line, struct span body, struct error *err);

/* Waits for the next stanza, which lives until the next call. */
int plugin_receive(struct plugin *plugin, struct age_stanza *stanza, struct error *err);

/*
 * Answers what a plugin asks in either state machine (msg, confirm, request-secret,
 * request-public), and "unsupported" to what it does not know.
 */
int plugin_answer(struct plugin *plugin, const struct age_stanza *stanza, struct error *err);

/* The text of a stanza's body as it may be shown, in new memory; NULL without memory. */
char *plugin_text(struct span bytes);

/* The error that a plugin reports; answers it. Always negative. */
int plugin_error(struct plugin *plugin, const struct age_stanza *stanza, struct error *err);

#endif
