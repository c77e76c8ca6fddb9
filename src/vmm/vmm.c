/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <fnmatch.h>
#include <string.h>

#include "vmm/drivers.h"
#include "vmm/notify.h"

/* The drivers; a new one is a row here. */
static const struct vmm_ops *const drivers[] = {
	&vmm_cloud_hypervisor,
	&vmm_qemu,
	&vmm_vmspawn,
};

const struct vmm_ops *vmm_find(const char *program, struct error *err)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		for (const char *const *pattern = drivers[i]->programs; *pattern; pattern++) {
			if (fnmatch(*pattern, name, 0) == 0)
				return drivers[i];
		}
	}
	error_set(err, VMCRED_USAGE, "%s is not a hypervisor that vmcred can start", name);
	error_hint(
		err,
		"it knows cloud-hypervisor*, qemu-system-*, qemu-kvm, kvm and systemd-vmspawn by "
		"their names");
	return NULL;
}

int vmm_arguments_read(const struct vmm_ops *ops, char *const *argv, struct oem_list *list,
		       const struct report *report, struct error *err)
{
	int r = ops->arguments_read(argv, list, report, err);

	return r < 0 ? error_wrap(err, "reading the command line of %s", argv[0]) : 0;
}

/* The strings are known: names and limits are checked, and what will be in view is said. */
static int launch_check(const struct vmm_ops *ops, const struct vmm_launch *launch,
			struct error *err)
{
	size_t body = 0;
	int r = oem_list_check(launch->list, err);

	if (r == 0)
		r = ops->check(launch, &body, err);
	if (r < 0)
		return r;
	if (launch->expose & VMM_EXPOSE_ARGV)
		report_message(launch->report, REPORT_WARNING,
			       "--expose=argv: every user of this host can read the OEM strings in "
			       "the command line of %s",
			       ops->name);
	if (launch->expose & VMM_EXPOSE_LOG)
		report_message(
			launch->report, REPORT_WARNING,
			"--expose=log: the log of %s holds the OEM strings, credentials included",
			ops->name);
	return 0;
}

static int parent_check(const struct vmm_ops *ops, const struct vmm_launch *launch,
			struct error *err)
{
	if (!ops->is_supervisor || (launch->parent != VMM_PARENT_STAYS && !launch->guest_reports))
		return 0;
	error_set(err, VMCRED_USAGE, "it supervises its VM itself");
	return error_hint(err, "leave --supervise, --notify and --stop-timeout out");
}

int vmm_run(const struct vmm_ops *ops, struct vmm_launch *launch, struct error *err)
{
	_cleanup_notify_ struct notify notify = NOTIFY_NONE;
	int r = parent_check(ops, launch, err);

	if (r == 0 && !ops->is_supervisor)
		r = notify_prepare(&notify, ops, launch, err);
	if (r == 0)
		r = launch_check(ops, launch, err);
	if (r < 0)
		return error_wrap(err, "preparing to start %s", ops->name);
	r = ops->launch(launch, &notify, err);
	return r < 0 ? error_wrap(err, "starting %s", launch->program) : r;
}
