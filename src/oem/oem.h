/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 5, compose: credentials and plain strings become one list of SMBIOS Type 11 OEM strings,
 * checked as a whole before any hypervisor sees it.
 *
 * The list owns its strings. All of them are held as secrets, though only those of OEM_RUNTIME are.
 * Strings keep the order in which they were added: what the VMM's own arguments hold,
 * platformOEMStrings, credentialFiles. The guest's systemd takes the first credential of a name and
 * drops the others without a word, so a name that comes twice is an error here, whatever its
 * origin.
 *
 * Trusted: the declaration. Not trusted: the values, which may hold any byte. Followed: systemd(1)
 * "System credentials", systemd's src/core/import-creds.c, SMBIOS (DSP0134) sections 6.1.3
 * and 7.12.
 */
#ifndef VMCRED_OEM_OEM_H
#define VMCRED_OEM_OEM_H

#include "base/error.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/span.h"
#include "config/config.h"

enum oem_origin {
	OEM_ARGUMENTS, /* the VMM's command line held it already */
	OEM_STATIC,    /* platformOEMStrings of the declaration */
	OEM_RUNTIME,   /* credentialFiles: a secret */
};

enum oem_encoding {
	OEM_PLAIN,  /* no credential */
	OEM_TEXT,   /* io.systemd.credential:NAME=VALUE */
	OEM_BINARY, /* io.systemd.credential.binary:NAME=BASE64 */
};

struct oem_string {
	enum oem_origin origin;
	enum oem_encoding encoding;
	char *name; /* the credential's, owned; NULL for a plain string */
	struct secret
		text; /* the whole string as the table holds it, without the NUL; never empty */
	size_t value_size; /* bytes that the guest gets: the credential's, or the plain string's */
};

struct oem_list {
	struct oem_string *strings;
	size_t count;
	char **elsewhere; /* names that the VMM's arguments hand over by another way, owned */
	size_t elsewhere_count;
};

#define _cleanup_oem_list_ __attribute__((cleanup(oem_list_destroy)))

/* Wipes and releases; the list is empty afterwards and can be used again. */
void oem_list_destroy(struct oem_list *list);

/*
 * Adds the OEM string of a credential to `out`: text where the value is UTF-8 without control
 * characters, else Base64. VMCRED_USAGE: a name that systemd or the string's form does not allow.
 * VMCRED_FAILED: over 1 MiB.
 */
int oem_string_encode(const char *name, struct span value, struct secret *out,
		      enum oem_encoding *encoding, struct error *err);

/* The value of a credential's string, decoded. `*value` must own nothing. */
int oem_string_value(const struct oem_string *string, struct secret *value, struct error *err);

/* Adds a credential of credentialFiles. VMCRED_USAGE also where the list has its name already. */
int oem_list_add_credential(struct oem_list *list, const char *name, struct span value,
			    struct error *err);

/*
 * Adds a string as it is, and learns its name if it is a credential. VMCRED_USAGE: empty, with a
 * NUL, a credential that systemd would drop, or one whose name the list has already.
 */
int oem_list_add_literal(struct oem_list *list, enum oem_origin origin, struct span text,
			 const struct report *report, struct error *err);

/*
 * Notes that the VMM's arguments hand over the credential `name` by another way that the guest
 * looks at first (QEMU's fw_cfg), so that the list may not have it too. Call before the credentials
 * are added.
 */
int oem_list_add_elsewhere(struct oem_list *list, const char *name, struct error *err);

/*
 * Adds the VM's platformOEMStrings and then its credentialFiles, read from the folder `credentials`
 * ($CREDENTIALS_DIRECTORY, or NULL where there is none). VMCRED_MISSING names the credential that
 * is not there and the unit line that would bring it; a missing optional one is a warning. The
 * caller goes on with oem_list_check().
 */
int oem_list_compose(struct oem_list *list, const struct config_vm *vm, const char *credentials,
		     const struct report *report, struct error *err);

/* What bounds a delivery. The numbers and their sources are one table in oem_limits.c. */
enum oem_limit {
	OEM_LIMIT_CREDENTIAL,     /* bytes of one value */
	OEM_LIMIT_CREDENTIALS,    /* bytes of all values */
	OEM_LIMIT_STRINGS,        /* strings in the structure */
	OEM_LIMIT_TABLE,          /* bytes of the structure */
	OEM_LIMIT_API_BODY,       /* bytes of Cloud Hypervisor's API body up to v53 */
	OEM_LIMIT_API_BODY_LARGE, /* the same in later versions */
	OEM_LIMIT_FW_CFG_NAME,    /* bytes of a fw_cfg file's name */
};

size_t oem_limit_max(enum oem_limit limit);

/* Whose limit it is, such as "systemd". */
const char *oem_limit_owner(enum oem_limit limit);

/* VMCRED_FAILED where `used` is over the limit; the error says what is limited, by how much, and by
 * whom. */
int oem_limit_check(enum oem_limit limit, size_t used, struct error *err);

/* Bytes of the Type 11 structure with these strings; 0 for none. */
size_t oem_list_table_size(const struct oem_list *list);

/* Bytes of all credentials' values. */
size_t oem_list_values_size(const struct oem_list *list);

/* Checks the list as a whole; the error also names the largest string. */
int oem_list_check(const struct oem_list *list, struct error *err);

/* "the VMM's arguments", "platformOEMStrings", "credentialFiles". */
const char *oem_origin_name(enum oem_origin origin);

#endif
