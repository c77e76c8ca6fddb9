/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/repetition/repetition.h"
#include "oem/oem.h"

const char *oem_origin_name(enum oem_origin origin)
{
	static const char *const names[] = {
		[OEM_ARGUMENTS] = "the VMM's arguments",
		[OEM_STATIC] = "platformOEMStrings",
		[OEM_RUNTIME] = "credentialFiles",
	};

	return names[origin];
}

void oem_list_destroy(struct oem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		secret_destroy(&list->strings[i].text);
		free(list->strings[i].name);
	}
	free(list->strings);
	strings_destroy(&list->elsewhere);
	*list = (struct oem_list){0};
}

static int name_check_unique(const struct oem_list *list, const char *name, enum oem_origin origin,
			     struct error *err)
{
	const char *first =
		strings_contain(&list->elsewhere, name) ? oem_origin_name(OEM_ARGUMENTS) : NULL;

	for (size_t i = 0; i < list->count && !first; i++) {
		if (list->strings[i].name && strcmp(list->strings[i].name, name) == 0)
			first = oem_origin_name(list->strings[i].origin);
	}
	if (!first)
		return 0;
	error_set(err, VMCRED_USAGE, "duplicate credential %s: in %s and in %s", name, first,
		  oem_origin_name(origin));
	return error_hint(err, "rename or remove one: systemd in the guest would use only the "
			       "first");
}

/* Takes ownership of the string, even on failure. */
static int list_append(struct oem_list *list, struct oem_string *string, struct error *err)
{
	int r = array_extend(&list->strings, list->count, sizeof(*string), err);

	if (r < 0) {
		secret_destroy(&string->text);
		free(string->name);
		return r;
	}
	list->strings[list->count++] = *string;
	return 0;
}

int oem_list_add_credential(struct oem_list *list, const char *name, struct span value,
			    struct error *err)
{
	struct oem_string string = {.origin = OEM_RUNTIME, .value_size = value.size};
	int r = name_check_unique(list, name, OEM_RUNTIME, err);

	if (r == 0)
		r = oem_string_encode(name, value, &string.text, &string.encoding, err);
	if (r == 0) {
		string.name = strdup(name);
		if (!string.name)
			r = error_no_memory(err);
	}
	if (r < 0) {
		secret_destroy(&string.text);
		return r;
	}
	return list_append(list, &string, err);
}

int oem_list_add_size(struct oem_list *list, const char *name, size_t value_size,
		      size_t string_size, struct error *err)
{
	struct oem_string string = {
		.origin = OEM_RUNTIME,
		.name = strdup(name),
		.text = {.size = string_size + strlen(name)},
		.value_size = value_size,
	};

	if (!string.name)
		return error_no_memory(err);
	if (name_check_unique(list, name, OEM_RUNTIME, err) < 0) {
		free(string.name);
		return -(int)err->code;
	}
	return list_append(list, &string, err);
}

/* Credentials that tell how to reach or name a guest and are not secret: microvm.nix puts the first
 * of them on every command line. See systemd.system-credentials(7). */
static bool name_is_public(const char *name)
{
	static const char *const names[] = {"vmm.notify_socket", "system.hostname",
					    "system.machine_id", "ssh.authorized_keys.root"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static void literal_warn(const struct oem_string *string, const struct report *report)
{
	const struct span text = secret_span(&string->text);

	if (string->origin == OEM_STATIC && string->name && !name_is_public(string->name))
		report_message(
			report, REPORT_WARNING,
			"platformOEMStrings contains the value of the credential %s, which "
			"is readable in git and in the Nix store: move it to credentialFiles",
			string->name);
	if (!span_starts_with(text, span_of_text("\"")))
		return;
	report_message(report, REPORT_WARNING,
		       "an OEM string in %s starts with '\"', which becomes part of it%s: remove "
		       "the quotes",
		       oem_origin_name(string->origin),
		       span_starts_with(text, span_of_text("\"io.systemd.credential"))
			       ? ", so that systemd in the guest ignores the credential"
			       : "");
}

int oem_list_add_literal(struct oem_list *list, enum oem_origin origin, struct span text,
			 const struct report *report, struct error *err)
{
	struct oem_string string = {.origin = origin};
	struct oem_literal literal;
	int r = oem_literal_parse(text, &literal, err);

	if (r < 0)
		return error_wrap(err, "%s", oem_origin_name(origin));
	string.encoding = literal.encoding;
	string.value_size = literal.value_size;
	if (literal.encoding != OEM_PLAIN) {
		string.name = strndup((const char *)literal.name.data, literal.name.size);
		if (!string.name)
			return error_no_memory(err);
		r = name_check_unique(list, string.name, origin, err);
	}
	if (r == 0)
		r = secret_copy(&string.text, text, err);
	if (r < 0) {
		free(string.name);
		return r;
	}
	literal_warn(&string, report);
	return list_append(list, &string, err);
}

/* The value as it is in the string: Base64 for OEM_BINARY. */
static struct span value_text(const struct oem_string *string)
{
	struct span text = secret_span(&string->text);
	const uint8_t *equals = memchr(text.data, '=', text.size);

	return equals ? span_skip(text, (size_t)(equals + 1 - text.data)) : text;
}

bool oem_list_is_quoted(const struct oem_list *list, struct span text)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret decoded = {0};
	_cleanup_free_ struct span *values = calloc(list->count + 1, 2 * sizeof(*values));
	size_t count = 0;

	/* Its size now, because the spans must stay valid. */
	if (!values || secret_reserve(&decoded, oem_list_table_size(list) + 1, &ignored) < 0)
		return true;
	for (size_t i = 0; i < list->count; i++) {
		const struct oem_string *string = &list->strings[i];
		size_t start = decoded.size;

		if (string->encoding == OEM_PLAIN)
			continue;
		values[count++] = value_text(string);
		if (string->encoding == OEM_BINARY &&
		    base64_decode_secret(values[count - 1], BASE64_PADDED, &decoded, &ignored) == 0)
			values[count++] = span_of(decoded.data + start, decoded.size - start);
	}
	return count > 0 && repetition_found(text, values, count);
}
