/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a person, on the terminal of the process (/dev/tty), whatever its standard streams are
 * connected to: for passphrases of keys, and for what age plugins ask.
 */
#ifndef VMCRED_CLI_TERMINAL_H
#define VMCRED_CLI_TERMINAL_H

#include "age/age.h"

/* Fails (VMCRED_FAILED) where the process has no terminal. */
extern const struct age_prompt terminal_prompt;

#endif
