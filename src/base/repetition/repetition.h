/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether text of another program repeats a secret that the program knows. It is
 * compared as it is and in every form in which programs usually print data: escaped (JSON, Rust, C,
 * shell), percent-encoded, in hex, as a list of numbers, in Base64 from any offset, several of
 * these one after the other, and without regard to case, white space and punctuation. That protects
 * from a program that quotes what it got, not from one that hides it on purpose.
 */
#ifndef VMCRED_BASE_REPETITION_REPETITION_H
#define VMCRED_BASE_REPETITION_REPETITION_H

#include "base/span.h"

/* This many consecutive bytes of a secret, or the whole of a shorter one, are a repetition. */
#define REPETITION_SIZE 8

/* A shorter secret would be found in any text, and is ignored. */
#define REPETITION_SIZE_MIN 4

/* Text without memory to check it counts as a repetition. */
bool repetition_found(struct span text, const struct span *secrets, size_t count);

#endif
