/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scalar is (YAML 1.1 types as go-yaml 3 knows them): the reader asks what to make of it,
 * the writer whether a string has to be quoted.
 */
#ifndef VMCRED_YAML_RESOLVE_H
#define VMCRED_YAML_RESOLVE_H

#include "sops/stores/number.h"
#include "yaml/parse.h"

/* "2006-01-02T15:04:05.999999999+07:00" */
#define YAML_TIMESTAMP_SIZE_MAX 35

struct yaml_scalar {
	enum sops_kind kind;
	bool too_large; /* an integer that needs more than 64 bits with a sign */
	/* An integer, a float or a time as sops encrypts it: in decimal; without an exponent;
	 * RFC 3339. */
	char text[SOPS_NUMBER_SIZE_MAX];
	size_t size;
};

/*
 * Resolves a plain scalar, or one with a tag. `tag` is YAML_TAG_NONE, _INT, _FLOAT, _BOOL, _NULL or
 * _TIMESTAMP. Returns 1, or 0 if it is not of the type that the tag demands.
 */
int yaml_resolve(enum yaml_tag tag, struct span text, struct yaml_scalar *scalar,
		 struct error *err);

/* yaml_timestamp.c: reads one of the forms of a time that YAML knows; the length of its text in
 * `out`, or 0 if it is none. */
size_t yaml_timestamp_read(struct span text, char out[YAML_TIMESTAMP_SIZE_MAX + 1]);

#endif
