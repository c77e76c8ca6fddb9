/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the emitter's files. */
#ifndef VMCRED_YAML_EMIT_H
#define VMCRED_YAML_EMIT_H

#include "yaml/text.h"
#include "yaml/yaml.h"

void yaml_emit_bytes(struct yaml_emitter *e, struct span bytes);
/* After the indicator of a block scalar: its comment, or a line break. */
void yaml_emit_line_comment_or_break(struct yaml_emitter *e);

/* The size of the line break here, or 0. CR LF counts as two. Never looks beyond the character. */
static inline size_t yaml_written_break(const uint8_t *at)
{
	return *at == '\r' ? 1 : yaml_break_size(at);
}

#endif
