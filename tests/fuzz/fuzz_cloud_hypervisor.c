/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines of Cloud Hypervisor, one argument a line: an accepted one becomes valid JSON, and
 * the same JSON twice; a rejected one has an error text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "vmm/cloud_hypervisor/cloud_hypervisor.h"

#define WORDS_MAX 64

static const char ping[] = "{\"version\": \"50.1.0\", \"features\": [\"igvm\"]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void body_check(const struct cloud_hypervisor_config *config)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret body = {0};
	_cleanup_json_ json_t *parsed = NULL;
	struct oem_list list = {0};

	if (cloud_hypervisor_config_body(config, &list, &body, &err) < 0 ||
	    json_parse(secret_span(&body), "the body", &parsed, &err) < 0 ||
	    !json_is_object(parsed))
		abort();
	if (cloud_hypervisor_needs_check(config, span_of(ping, sizeof(ping) - 1), &err) < 0 &&
	    (err.code != VMCRED_USAGE || !err.hint))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config config = {0};
	_cleanup_cloud_hypervisor_config_ struct cloud_hypervisor_config again = {0};
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *text = strndup((const char *)data, size);
	char *words[WORDS_MAX + 2] = {(char *)"cloud-hypervisor"};
	char *rest = text;
	size_t count = 1;

	while (rest && count <= WORDS_MAX) {
		words[count] = strsep(&rest, "\n");
		/* Files are not part of the input. */
		if (strncmp(words[count], "--vm-config", strlen("--vm-config")) == 0)
			return 0;
		count++;
	}
	if (cloud_hypervisor_config_read(words, &config, &err) < 0) {
		if (err.code != VMCRED_USAGE || !err.text)
			abort();
		return 0;
	}
	if (cloud_hypervisor_config_read(words, &again, &err) < 0 ||
	    !json_equal(config.vm, again.vm))
		abort();
	body_check(&config);
	return 0;
}
