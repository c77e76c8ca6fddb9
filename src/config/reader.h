/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads YAML nodes into structures by tables: a row is a key, how its value is read and where the
 * result goes. Inside config/ only. Every error names file, line and the path of the key.
 */
#ifndef VMCRED_CONFIG_READER_H
#define VMCRED_CONFIG_READER_H

#include "base/text.h"
#include "config/config.h"
#include "yaml/yaml.h"

struct reader {
	const char *path;      /* the file, for errors */
	struct config *config; /* the owner of what is read */
	const struct reader_where {
		const struct reader_where *parent;
		const char *name;
	} * where;         /* the key that is being read, with those around it */
	size_t nodes_left; /* that may still be read: aliases could repeat them endlessly */
	bool lenient;      /* CONFIG_LENIENT */
	struct error *err;
};

/* Reads a value; `target` depends on the function. */
typedef int reader_value(struct reader *reader, const struct yaml_node *value, void *target);

/* Reads a named entry into a zeroed structure. */
typedef int reader_entry(struct reader *reader, const char *name, const struct yaml_node *key,
			 const struct yaml_node *value, void *entry);

struct reader_key {
	const char *name;
	size_t offset; /* of the target in the structure */
	/* One of: */
	reader_value *read;
	reader_entry *entry;      /* for each entry of a mapping; the target is an array */
	const char *const *words; /* the target is an enum: the word's index */
	size_t most;              /* the target is a size_t, from 1 */
	/* With `entry`: */
	size_t entry_size, count_offset;
	bool lists; /* instead of an entry there may be a list of entries with the same name */
};

#define READER_KEY(name_, read_, type, member)                                     \
	{                                                                          \
		.name = (name_), .read = (read_), .offset = offsetof(type, member) \
	}
#define READER_WORD(name_, words_, type, member)                                     \
	{                                                                            \
		.name = (name_), .words = (words_), .offset = offsetof(type, member) \
	}
#define READER_NUMBER(name_, most_, type, member)                                  \
	{                                                                          \
		.name = (name_), .most = (most_), .offset = offsetof(type, member) \
	}
#define READER_ENTRIES(name_, entry_, type, member, count)                            \
	{                                                                             \
		.name = (name_), .entry = (entry_), .offset = offsetof(type, member), \
		.entry_size = sizeof(*((type *)NULL)->member),                        \
		.count_offset = offsetof(type, count)                                 \
	}

/* Fills the structure at `target` from a mapping by a table that ends with a row without a name. */
int reader_mapping(struct reader *reader, const struct yaml_node *node,
		   const struct reader_key *keys, void *target);

/* Reads a value by a row of a table. */
int reader_key_value(struct reader *reader, const struct reader_key *key,
		     const struct yaml_node *value, void *target);

/* The target is a `char *`, a `bool`, a NULL-terminated `char **`. */
reader_value reader_string, reader_bool, reader_strings;
/* Accepts anything. */
reader_value reader_ignore;

/* Each returns VMCRED_USAGE: "FILE:LINE: WHERE: text" for a text, which it frees, or for an error
 * that is set; "FILE:LINE: text". */
int reader_reject_text(struct reader *reader, const struct yaml_node *node, char *text);
int reader_wrap(struct reader *reader, const struct yaml_node *node);
int reader_reject_line_text(struct reader *reader, int line, char *text);

/* The same with printf(3) arguments. */
#define reader_reject(reader, node, ...) reader_reject_text(reader, node, text_format(__VA_ARGS__))
#define reader_reject_line(reader, line, ...) \
	reader_reject_line_text(reader, line, text_format(__VA_ARGS__))

/* As name_hint(), for entries that start with their name, a `char *`. */
int reader_hint_nearest(struct error *err, const char *name, const void *entries, size_t count,
			size_t entry_size);
#define READER_HINT_NEAREST(err, name, entries, count) \
	reader_hint_nearest(err, name, entries, count, sizeof(*(entries)))

#endif
