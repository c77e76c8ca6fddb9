/* SPDX-License-Identifier: Apache-2.0 */
/* What the running guest can request: the VM's channelCredentials. */
#include <sys/stat.h>

#include "base/cleanup.h"
#include "channel/channel.h"
#include "delivery/delivery.h"
#include "inspect/stages.h"

static void stage_worsen(struct inspect_stage *stage, enum inspect_state state)
{
	stage->state = stage->state < state ? state : stage->state;
}

static void documents_inspect(const struct inspection *inspection,
			      const struct age_identities *identities, struct inspect_stage *stage)
{
	const struct sops_keyring keyring = {.identities = identities};
	const struct config_vm *vm = inspection->vm;
	size_t refused = 0;

	stage_add(stage, "; the guest can request %zu", vm->channel_count);
	for (size_t i = 0; i < vm->channel_count; i++) {
		const struct vars_location location =
			inspection_locate(inspection, &vm->channel[i]);
		_cleanup_secret_ struct secret value = {0};
		_cleanup_error_ struct error ignored = {0};
		int r = location.file && location.file->deploy
				? vars_store_read(inspection->store_dirfd, &location, &keyring,
						  &value, &ignored)
				: -(int)VMCRED_MISSING;

		if (r == 0)
			continue;
		stage_add_name(stage, "it would not get", vm->channel[i].credential, &refused);
		stage_worsen(stage, r == -(int)VMCRED_INTEGRITY ? INSPECT_WRONG : INSPECT_MISSING);
	}
}

static void socket_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	_cleanup_free_ char *path = inspection_path(inspection, CHANNEL_SOCKET_PATH);
	struct stat status;

	if (path && stat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		return;
	stage_add(stage, "%s" CHANNEL_SOCKET_PATH " does not exist: start vmcred-channel.socket",
		  stage->seen && *stage->seen ? "; " : "");
	stage_worsen(stage, INSPECT_MISSING);
}

void channel_inspect(const struct inspection *inspection, const struct age_identities *identities,
		     struct inspect_stage *seal, struct inspect_stage *activate,
		     struct inspect_stage *load)
{
	_cleanup_secret_ struct secret key = {0};

	documents_inspect(inspection, identities, seal);
	socket_inspect(inspection, activate);
	if (!loaded_is_running(&inspection->loaded) ||
	    loaded_read(&inspection->loaded, CHANNEL_CREDENTIAL, &key) != LOADED_NOTHING)
		return;
	stage_add(load, "; no channel key: restart %s", inspection->vm->unit);
	stage_worsen(load, INSPECT_MISSING);
}

void delivery_inspect(const struct inspection *inspection, struct inspect_stage *stage)
{
	_cleanup_delivery_report_ struct delivery_report report = {0};
	_cleanup_error_ struct error ignored = {0};
	_cleanup_free_ char *text = NULL;
	enum delivery_state state;

	/* Without one that the caller can read, nothing was reported. */
	if (loaded_is_running(&inspection->loaded))
		(void)delivery_report_read(inspection->options->root, inspection->vm->unit, &report,
					   &ignored);
	state = delivery_report_state(&report, NULL);
	if (state == DELIVERY_SENT)
		return;
	if (stage->state == INSPECT_UNSEEN)
		stage_set(stage, INSPECT_SEEN, "%s", "");
	stage_add(stage, "%s", stage->seen && *stage->seen ? "; " : "");
	text = delivery_report_text(&report);
	if (state == DELIVERY_DELIVERED)
		stage_add(stage, "the guest reported that all credentials arrived whole");
	else
		stage_add(stage, "the guest found %s", text ? text : "out of memory");
	if (state == DELIVERY_REJECTED)
		stage_worsen(stage, INSPECT_WRONG);
}
