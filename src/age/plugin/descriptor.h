/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of an age file from and to a descriptor, through ASCII armor or not, a buffer at a
 * time.
 */
#ifndef VMCRED_AGE_PLUGIN_DESCRIPTOR_H
#define VMCRED_AGE_PLUGIN_DESCRIPTOR_H

#include "age/armor.h"

/* Starts as {.fd = …}. */
struct age_input {
	int fd;
	struct secret raw; /* read, and not yet taken */
	size_t taken;      /* bytes of it that were */
	bool is_ended;     /* there is nothing behind it */
	bool is_armored;
	struct age_armor_decoder decoder;
	struct secret decoded; /* the same for what the armor holds */
	size_t decoded_taken;
};

#define _cleanup_age_input_ __attribute__((cleanup(age_input_destroy)))

/* Looks whether the input is armored, which age_input_read() then undoes. */
int age_input_detect(struct age_input *input, struct error *err);

/* Reads `size` bytes, or fewer at the end; stores how many. */
int age_input_read(struct age_input *input, uint8_t *out, size_t size, size_t *got,
		   struct error *err);
void age_input_destroy(struct age_input *input);

/* Starts as {.fd = …, .is_armored = …}. */
struct age_output {
	int fd;
	bool is_armored;
	bool is_begun;
	struct secret pending; /* what does not fill a line */
	struct secret text;
};

#define _cleanup_age_output_ __attribute__((cleanup(age_output_destroy)))

int age_output_write(struct age_output *output, struct span bytes, struct error *err);

/* After the last write. */
int age_output_finish(struct age_output *output, struct error *err);
void age_output_destroy(struct age_output *output);

#endif
