/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM can send descriptors with the bytes of its guest, or instead of a connection. The kernel
 * closes those that nobody takes within the call that reads the bytes or closes the connection. A
 * socket with SO_LINGER and data that its peer does not read makes that call wait, for hours, and
 * this process with it. A signal ends the wait, so a timer sends signals during such calls.
 */
#ifndef VMCRED_ACTIVATE_SERVE_LINGER_H
#define VMCRED_ACTIVATE_SERVE_LINGER_H

#include <stdbool.h>

/* Until the end of the scope, no closed descriptor makes this process wait for long. */
#define linger_limited() \
	__attribute__((cleanup(linger_end), unused)) bool linger_scope = linger_begin()

bool linger_begin(void);
void linger_end(const bool *scope);

#endif
