/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading YAML nodes into structures by tables: a row is a key, the function that reads its value
 * and where the result goes. Inside config/ only. Every error names file, line and the path of the
 * key.
 */
#ifndef VMCRED_CONFIG_READER_H
#define VMCRED_CONFIG_READER_H

#include <libfyaml.h>
#include <stddef.h>

#include "base/error.h"
#include "config/config.h"

struct reader {
	const char *path; /* the file, for errors */
	char *where;      /* owned; the key that is being read, such as "vms.test-vm" */
	struct error *err;
};

struct reader_key {
	const char *name;
	int (*read)(struct reader *reader, struct fy_node *value, void *target);
	size_t offset; /* of the target in the structure */
};

/*
 * What an alias (*name) stands for, any other node itself. Followed when it is read, and not by the
 * parser, which would copy: a few lines of aliases of aliases would fill the memory.
 */
struct fy_node *reader_resolve(struct fy_node *node);

/* Line of a node in the file, counted from 1. */
int reader_line(struct fy_node *node);

/* VMCRED_USAGE: "FILE:LINE: WHERE: text". */
int reader_reject(struct reader *reader, struct fy_node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Appends ".name" to `where`; returns what to give to reader_leave(), or NULL with the error set.
 */
char *reader_enter(struct reader *reader, const char *name);
void reader_leave(struct reader *reader, char *previous);

/* What to do with a key that another program's declarations have, or NULL. */
const char *reader_foreign_hint(const char *name);

/* Fills the structure at `target` from a mapping by a table that ends with a row without a name. */
int reader_mapping(struct reader *reader, struct fy_node *node, const struct reader_key *keys,
		   void *target);

/*
 * Reads a mapping of names to entries into a newly allocated array of `entry_size` each. `read`
 * gets the zeroed entry. `*entries` and `*count` are kept valid after an error too, so that the
 * owner releases them.
 */
int reader_entries(struct reader *reader, struct fy_node *node, size_t entry_size,
		   int (*read)(struct reader *reader, const char *name, struct fy_node *key,
			       struct fy_node *value, void *entry),
		   void **entries, size_t *count);

/* Values; `target` is the address of a `char *`, a `bool`, a `char **` list. The result is owned.
 */
int reader_string(struct reader *reader, struct fy_node *value, void *target);
int reader_bool(struct reader *reader, struct fy_node *value, void *target);
int reader_strings(struct reader *reader, struct fy_node *value, void *target);

/* A whole number from `least` to `most`. */
int reader_number(struct reader *reader, struct fy_node *value, size_t least, size_t most,
		  size_t *number);

/* One of the words, which end with NULL: its index. */
int reader_word(struct reader *reader, struct fy_node *value, const char *const *words, int *word);

#endif
