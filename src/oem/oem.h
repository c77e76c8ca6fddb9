/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 5, compose: credentials and plain strings become one list of SMBIOS Type 11 OEM strings,
 * which is checked as a whole before any hypervisor starts.
 *
 * The list owns its strings. All are stored as secrets, though only those of OEM_RUNTIME are
 * secret. Strings keep the order in which they were added: those of the VMM's own arguments,
 * platformOEMStrings, credentialFiles. systemd in the guest silently uses the first credential of
 * a name and drops the others, so a duplicate name is an error here, whatever its origin.
 *
 * Trusted: the declaration. Not trusted: the values, which may contain any byte. Specifications:
 * systemd(1) "System credentials", systemd's src/core/import-creds.c, SMBIOS (DSP0134) sections
 * 6.1.3 and 7.12.
 */
#ifndef VMCRED_OEM_OEM_H
#define VMCRED_OEM_OEM_H

#include "base/error.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/span.h"
#include "base/text.h"
#include "config/config.h"

enum oem_origin {
	OEM_ARGUMENTS, /* the VMM's own command line */
	OEM_STATIC,    /* platformOEMStrings of the declaration */
	OEM_RUNTIME,   /* credentialFiles: a secret */
};

enum oem_encoding {
	OEM_PLAIN,  /* not a credential */
	OEM_TEXT,   /* io.systemd.credential:NAME=VALUE */
	OEM_BINARY, /* io.systemd.credential.binary:NAME=BASE64 */
};

struct oem_string {
	enum oem_origin origin;
	enum oem_encoding encoding;
	char *name;         /* the credential's, owned; NULL for a plain string */
	struct secret text; /* the whole string as in the table, without the NUL; never empty */
	size_t value_size;  /* bytes that the guest gets: the credential's, or the plain string's */
};

struct oem_list {
	struct oem_string *strings;
	size_t count;
	struct strings elsewhere; /* credentials that the VMM's arguments deliver in another way */
};

#define _cleanup_oem_list_ __attribute__((cleanup(oem_list_destroy)))

/* Wipes and releases; the list is empty afterwards and can be used again. */
void oem_list_destroy(struct oem_list *list);

/*
 * Appends the OEM string of a credential to `out`: text if the value is UTF-8 without control
 * characters, else Base64. VMCRED_USAGE: a name that systemd or the string's form does not allow.
 * VMCRED_FAILED: over 1 MiB.
 */
int oem_string_encode(const char *name, struct span value, struct secret *out,
		      enum oem_encoding *encoding, struct error *err);

struct oem_literal {
	enum oem_encoding encoding;
	struct span name;  /* points into the string; empty for OEM_PLAIN */
	struct span value; /* as it is in the string: Base64 for OEM_BINARY */
	size_t value_size; /* bytes that the guest gets */
};

/* Parses a string. VMCRED_USAGE: empty, contains a NUL, or a credential that systemd would drop. */
int oem_literal_parse(struct span text, struct oem_literal *literal, struct error *err);

/* The value that the guest gets. `*value` must own nothing. */
int oem_literal_value(const struct oem_literal *literal, struct secret *value, struct error *err);

/* The decoded value of a credential's string. `*value` must own nothing. */
int oem_string_value(const struct oem_string *string, struct secret *value, struct error *err);

/* Adds a credential of credentialFiles. VMCRED_USAGE also for a duplicate name. */
int oem_list_add_credential(struct oem_list *list, const char *name, struct span value,
			    struct error *err);

/* Bytes of the OEM string of a credential with that value, without its name. */
size_t oem_string_size(struct span value);

/* Adds a credential of which only the sizes are known, for oem_list_check(). */
int oem_list_add_size(struct oem_list *list, const char *name, size_t value_size,
		      size_t string_size, struct error *err);

/* Adds a string as it is, and finds its name if it is a credential. VMCRED_USAGE: as
 * oem_literal_parse(), or a duplicate name. */
int oem_list_add_literal(struct oem_list *list, enum oem_origin origin, struct span text,
			 const struct report *report, struct error *err);

/* Whether `text` repeats the value of a credential or part of it, in any form:
 * base/repetition/repetition.h. Strings that are not credentials are public. */
bool oem_list_is_quoted(const struct oem_list *list, struct span text);

/*
 * Adds the VM's platformOEMStrings and then its credentialFiles, read from the directory
 * `credentials` ($CREDENTIALS_DIRECTORY, or NULL without one). VMCRED_MISSING names the missing
 * credential and the unit line that loads it; a missing optional one is a warning. The caller
 * continues with oem_list_check().
 */
int oem_list_compose(struct oem_list *list, const struct config_vm *vm, const char *credentials,
		     const struct report *report, struct error *err);

/* The limits of a delivery. The numbers and their sources are one table in limits.c. */
enum oem_limit {
	OEM_LIMIT_CREDENTIAL,     /* bytes of one value */
	OEM_LIMIT_CREDENTIALS,    /* bytes of all values */
	OEM_LIMIT_STRINGS,        /* strings in the structure */
	OEM_LIMIT_TABLE,          /* bytes of the structure */
	OEM_LIMIT_API_BODY,       /* bytes of Cloud Hypervisor's API body up to v53 */
	OEM_LIMIT_API_BODY_LARGE, /* the same in later versions */
};

size_t oem_limit_max(enum oem_limit limit);

/* Which component sets the limit, such as "systemd". */
const char *oem_limit_owner(enum oem_limit limit);

/* VMCRED_FAILED if `used` exceeds the limit. */
int oem_limit_check(enum oem_limit limit, size_t used, struct error *err);

/* Bytes of the Type 11 structure with these strings; 0 for none. */
size_t oem_list_table_size(const struct oem_list *list);

/* Bytes of all credentials' values. */
size_t oem_list_values_size(const struct oem_list *list);

/* Checks the list as a whole; the error also names the largest string. */
int oem_list_check(const struct oem_list *list, struct error *err);

/* The same for a transport without an SMBIOS table. */
int oem_list_check_values(const struct oem_list *list, struct error *err);

/* "the VMM's arguments", "platformOEMStrings", "credentialFiles". */
const char *oem_origin_name(enum oem_origin origin);

#endif
