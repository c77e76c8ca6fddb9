/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdlib.h>

int array_enlarge(void *items, size_t *capacity, size_t item_size, struct error *err)
{
	size_t more = *capacity ? *capacity * 2 : 32;
	void *moved;

	moved = reallocarray(*(void **)items, more, item_size);
	if (!moved)
		return error_no_memory(err);
	*(void **)items = moved;
	*capacity = more;
	return 0;
}
