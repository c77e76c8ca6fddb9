/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts for the shells, made of the tables, so that they know every verb and flag.
 */
#include <stdio.h>
#include <string.h>

#include "cli/vmcred-sops/flag_table.h"
#include "cli/vmcred-sops/verbs.h"

static bool verb_takes(enum sops_verb_id id, const struct sops_flag_row *row)
{
	return (row->verbs & (1U << id)) != 0;
}

static void words_print(enum sops_verb_id id)
{
	const char *space = "";

	for (size_t i = 0; i < SOPS_FLAG_COUNT; i++) {
		if (!verb_takes(id, &sops_flag_table[i]))
			continue;
		printf("%s--%s", space, sops_flag_table[i].names[0]);
		space = " ";
	}
}

/* Whether the verb is the first of its name. */
static bool is_first(const struct sops_verb *verb)
{
	return verb == sops_verbs || strcmp(verb[-1].name, verb->name) != 0;
}

static void verb_names_print(void)
{
	for (const struct sops_verb *verb = sops_verbs; verb->name; verb++) {
		if (verb->run && is_first(verb))
			printf(" %s", verb->name);
	}
}

/* case "$verb" in …: sets `flags`. bash and zsh read the same. */
static void cases_print(void)
{
	printf("  case $verb in\n");
	for (const struct sops_verb *verb = sops_verbs; verb->name; verb++) {
		if (!verb->run || !is_first(verb))
			continue;
		printf("    %s) flags=\"", verb->name);
		words_print(verb->id);
		printf("\" ;;\n");
	}
	printf("    *) flags=\"");
	words_print(SOPS_OLD_FORM);
	printf("\" ;;\n  esac\n");
}

static void bash_print(void)
{
	printf("_vmcred_sops() {\n"
	       "  local current=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} flags\n");
	cases_print();
	printf("  if [[ $current == -* ]]; then\n"
	       "    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$current\")\n"
	       "  elif ((COMP_CWORD == 1)); then\n"
	       "    mapfile -t COMPREPLY < <(compgen -W \"");
	verb_names_print();
	printf("\" -- \"$current\")\n"
	       "  elif ((COMP_CWORD == 2)) && [[ $verb == groups ]]; then\n"
	       "    mapfile -t COMPREPLY < <(compgen -W \"add delete\" -- \"$current\")\n"
	       "  else\n"
	       "    COMPREPLY=()\n"
	       "  fi\n"
	       "}\n"
	       "complete -o bashdefault -o default -F _vmcred_sops sops\n");
}

static void zsh_print(void)
{
	printf("#compdef sops\n"
	       "_vmcred_sops() {\n"
	       "  local verb=${words[2]} flags\n");
	cases_print();
	printf("  if [[ ${words[CURRENT]} == -* ]]; then\n"
	       "    compadd -- ${=flags}\n"
	       "  elif ((CURRENT == 2)); then\n"
	       "    compadd --");
	verb_names_print();
	printf("\n"
	       "    _files\n"
	       "  elif ((CURRENT == 3)) && [[ $verb == groups ]]; then\n"
	       "    compadd -- add delete\n"
	       "  else\n"
	       "    _files\n"
	       "  fi\n"
	       "}\n"
	       "compdef _vmcred_sops sops\n");
}

/* fish quotes with ' and knows \' in it. */
static void fish_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('\'');
}

static void fish_print(void)
{
	for (const struct sops_verb *verb = sops_verbs; verb->name; verb++) {
		if (!verb->run)
			continue;
		if (is_first(verb)) {
			printf("complete -c sops -n __fish_use_subcommand -a %s -d ", verb->name);
			fish_quoted(verb->about);
			putchar('\n');
		}
		for (size_t i = 0; i < SOPS_FLAG_COUNT; i++) {
			const struct sops_flag_row *row = &sops_flag_table[i];

			if (!verb_takes(verb->id, row))
				continue;
			printf("complete -c sops -n '__fish_seen_subcommand_from %s' -l %s%s -d ",
			       verb->name, row->names[0], row->argument ? " -r" : "");
			fish_quoted(row->help);
			putchar('\n');
		}
	}
	printf("complete -c sops -n '__fish_seen_subcommand_from groups' -a 'add delete'\n");
}

static const struct {
	const char *name;
	void (*print)(void);
} shells[] = {
	{"bash", bash_print},
	{"zsh", zsh_print},
	{"fish", fish_print},
};

int verb_completion(struct sops_call *call, struct error *err)
{
	if (call->word_count == 0) {
		verb_help(verb_find("completion", NULL));
		return 0;
	}
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (strcmp(call->words[0], shells[i].name) == 0) {
			shells[i].print();
			return 0;
		}
	}
	return sops_fail(call, SOPS_EXIT_NO_SUCH_TOPIC, err,
			 "there is no completion for \"%s\": bash, zsh and fish are known",
			 call->words[0]);
}
