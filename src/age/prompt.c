/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "age/keys.h"
#include "base/cleanup.h"

int age_passphrase_ask(const struct age_prompt *prompt, const char *question, const char *what,
		       struct secret *answer, struct error *err)
{
	_cleanup_free_ char *text = NULL;

	if (!prompt || !prompt->ask)
		return error_set(err, VMCRED_MISSING,
				 "it is encrypted with a passphrase, and there is nobody to ask");
	if (asprintf(&text, "%s %s:", question, what) < 0) {
		text = NULL;
		return error_no_memory(err);
	}
	if (prompt->ask(prompt->context, text, true, answer, err) < 0) {
		err->code = VMCRED_MISSING;
		return error_wrap(err, "asking for its passphrase");
	}
	if (answer->size == 0)
		return error_set(err, VMCRED_MISSING, "no passphrase was given");
	return 0;
}
