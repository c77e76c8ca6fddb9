/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdout and stderr for text: lists, tables, JSON, errors. They may quote documents, declarations
 * and other programs, whose control characters must not reach a terminal, so these become visible
 * (text_visible() in base/text.h), in a form that JSON allows in strings. Data that the user asked
 * for, such as a secret, is written to the descriptor as it is.
 */
#ifndef VMCRED_CLI_STREAM_H
#define VMCRED_CLI_STREAM_H

#include "base/error.h"

/* Replaces both streams for the rest of the process. */
int streams_protect(struct error *err);

#endif
