/* SPDX-License-Identifier: Apache-2.0 */
/* Buffered reading and writing of age files, armored or not. */
#ifndef VMCRED_AGE_DESCRIPTOR_H
#define VMCRED_AGE_DESCRIPTOR_H

#include "age/armor.h"

/* Starts as {.fd = …}. */
struct age_input {
	int fd;
	struct secret raw; /* bytes that were read */
	size_t taken;      /* how many of them were consumed */
	bool is_ended;     /* end of file */
	bool is_armored;
	struct age_armor_decoder decoder;
	struct secret decoded; /* the same for the decoded armor */
	size_t decoded_taken;
};

#define _cleanup_age_input_ __attribute__((cleanup(age_input_destroy)))

/* Detects armor, which age_input_read() then decodes. */
int age_input_detect(struct age_input *input, struct error *err);

/* Reads `size` bytes, or fewer at the end; stores how many. */
int age_input_read(struct age_input *input, uint8_t *out, size_t size, size_t *got,
		   struct error *err);
void age_input_destroy(struct age_input *input);

/* Starts as {.fd = …, .is_armored = …}. */
struct age_output {
	int fd;
	bool is_armored;
	bool is_started;
	struct secret pending; /* less than a line */
	struct secret text;
};

#define _cleanup_age_output_ __attribute__((cleanup(age_output_destroy)))

int age_output_write(struct age_output *output, struct span bytes, struct error *err);

/* After the last write. */
int age_output_finish(struct age_output *output, struct error *err);
void age_output_destroy(struct age_output *output);

#endif
