/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "oem/oem.h"
#include "oem/oem_string.h"

/* Header, handle and count of a Type 11 structure (DSP0134, 7.12), and the NUL that ends its
 * string-set. */
#define TYPE11_FIXED_SIZE 6

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
	for (size_t i = 0; i < list->elsewhere_count; i++)
		free(list->elsewhere[i]);
	free(list->strings);
	free(list->elsewhere);
	*list = (struct oem_list){0};
}

static int list_reject_twice(const char *name, enum oem_origin second, const char *first,
			     struct error *err)
{
	error_set(err, VMCRED_USAGE, "the credential %s comes twice, in %s and in %s", name, first,
		  oem_origin_name(second));
	return error_hint(
		err, "the guest's systemd would take one and drop the other: rename or remove one");
}

static int list_check_name(const struct oem_list *list, const char *name, enum oem_origin origin,
			   struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct oem_string *other = &list->strings[i];

		if (other->name && strcmp(other->name, name) == 0)
			return list_reject_twice(name, origin, oem_origin_name(other->origin), err);
	}
	for (size_t i = 0; i < list->elsewhere_count; i++) {
		if (strcmp(list->elsewhere[i], name) == 0)
			return list_reject_twice(name, origin, "the VMM's arguments", err);
	}
	return 0;
}

/* Takes the string over, whatever happens. */
static int list_append(struct oem_list *list, struct oem_string *string, struct error *err)
{
	struct oem_string *larger = reallocarray(list->strings, list->count + 1, sizeof(*larger));

	if (!larger) {
		secret_destroy(&string->text);
		free(string->name);
		return error_no_memory(err);
	}
	list->strings = larger;
	list->strings[list->count++] = *string;
	return 0;
}

int oem_list_add_credential(struct oem_list *list, const char *name, struct span value,
			    struct error *err)
{
	struct oem_string string = {.origin = OEM_RUNTIME, .value_size = value.size};
	int r = list_check_name(list, name, OEM_RUNTIME, err);

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

/*
 * Credentials that say how to reach or name a guest and are no secrets: microvm.nix puts the first
 * of them on every command line. See systemd.system-credentials(7).
 */
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
	if (string->origin == OEM_STATIC && string->name && !name_is_public(string->name))
		report_message(
			report, REPORT_WARNING,
			"platformOEMStrings holds the credential %s: whoever reads the "
			"declaration, in git or in the Nix store, reads its value: move it to "
			"credentialFiles",
			string->name);
	if (!span_starts_with(secret_span(&string->text), span_of_text("\"")))
		return;
	report_message(
		report, REPORT_WARNING,
		"an OEM string in %s starts with a '\"', which stays part of it: %sleave the "
		"quotes "
		"out",
		oem_origin_name(string->origin),
		span_starts_with(secret_span(&string->text),
				 span_of_text("\"io.systemd.credential"))
			? "the guest's systemd ignores a credential that is written like that: "
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
		r = list_check_name(list, string.name, origin, err);
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

int oem_list_add_elsewhere(struct oem_list *list, const char *name, struct error *err)
{
	char **larger = reallocarray(list->elsewhere, list->elsewhere_count + 1, sizeof(*larger));

	if (!larger)
		return error_no_memory(err);
	list->elsewhere = larger;
	larger[list->elsewhere_count] = strdup(name);
	if (!larger[list->elsewhere_count])
		return error_no_memory(err);
	list->elsewhere_count++;
	return 0;
}

size_t oem_list_table_size(const struct oem_list *list)
{
	size_t size = TYPE11_FIXED_SIZE;

	for (size_t i = 0; i < list->count; i++)
		size += list->strings[i].text.size + 1;
	return list->count > 0 ? size : 0;
}

size_t oem_list_values_size(const struct oem_list *list)
{
	size_t size = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (list->strings[i].name)
			size += list->strings[i].value_size;
	}
	return size;
}

/* The largest string is what to look at first. Plain strings have no name but are no secrets
 * either. */
static int hint_largest(const struct oem_list *list, struct error *err)
{
	const struct oem_string *largest = &list->strings[0];

	for (size_t i = 1; i < list->count; i++) {
		if (list->strings[i].text.size > largest->text.size)
			largest = &list->strings[i];
	}
	return error_hint(err, "the largest is %s with %zu bytes",
			  largest->name ? largest->name : "a plain string", largest->text.size);
}

int oem_list_check(const struct oem_list *list, struct error *err)
{
	int r = oem_limit_check(OEM_LIMIT_STRINGS, list->count, err);

	if (r < 0)
		return r;
	r = oem_limit_check(OEM_LIMIT_TABLE, oem_list_table_size(list), err);
	if (r == 0)
		r = oem_limit_check(OEM_LIMIT_CREDENTIALS, oem_list_values_size(list), err);
	return r < 0 ? hint_largest(list, err) : 0;
}
