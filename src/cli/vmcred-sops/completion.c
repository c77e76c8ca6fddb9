/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts for shells, from the tables of commands and flags. */
#include <stdio.h>
#include <string.h>

#include "cli/vmcred-sops/commands.h"

static void flags_print(enum command_id id)
{
	const char *space = "";

	for (int i = 0; i < FLAG_COUNT; i++) {
		if (!flag_about(id, (enum flag)i))
			continue;
		printf("%s--%s", space, flag_name((enum flag)i));
		space = " ";
	}
}

/* Not for the second command of a family. */
static bool is_first(const struct sops_command *command)
{
	return command == sops_commands || strcmp(command[-1].name, command->name) != 0;
}

void candidates_print(const struct sops_command *found, int argc, char *const *argv)
{
	const bool flag = argc > 0 && *argv[argc - 1] == '-';

	for (int i = 0; flag && i < FLAG_COUNT; i++) {
		if (flag_about(found ? found->id : LEGACY, (enum flag)i))
			printf("--%s\n", flag_name((enum flag)i));
	}
	for (const struct sops_command *command = sops_commands; !flag && command->name;
	     command++) {
		if (argc == 0 && command->run && is_first(command))
			printf("%s\n", command->name);
		if (argc == 1 && command->second && strcmp(command->name, argv[0]) == 0)
			printf("%s\n", command->second);
	}
}

static void command_names_print(void)
{
	for (const struct sops_command *command = sops_commands; command->name; command++) {
		if (command->run && is_first(command))
			printf(" %s", command->name);
	}
}

/* `case $command in`, which sets $flags; the same for bash and zsh. */
static void cases_print(void)
{
	printf("  case $command in\n");
	for (const struct sops_command *command = sops_commands; command->name; command++) {
		if (!command->run || !is_first(command))
			continue;
		printf("    %s) flags=\"", command->name);
		flags_print(command->id);
		printf("\" ;;\n");
	}
	printf("    *) flags=\"");
	flags_print(LEGACY);
	printf("\" ;;\n  esac\n");
}

static void bash_print(void)
{
	printf("_vmcred_sops() {\n"
	       "  local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} flags\n");
	cases_print();
	printf("  if [[ $current == -* ]]; then\n"
	       "    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$current\")\n"
	       "  elif ((COMP_CWORD == 1)); then\n"
	       "    mapfile -t COMPREPLY < <(compgen -W \"");
	command_names_print();
	printf("\" -- \"$current\")\n"
	       "  elif ((COMP_CWORD == 2)) && [[ $command == groups ]]; then\n"
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
	       "  local command=${words[2]} flags\n");
	cases_print();
	printf("  if [[ ${words[CURRENT]} == -* ]]; then\n"
	       "    compadd -- ${=flags}\n"
	       "  elif ((CURRENT == 2)); then\n"
	       "    compadd --");
	command_names_print();
	printf("\n"
	       "    _files\n"
	       "  elif ((CURRENT == 3)) && [[ $command == groups ]]; then\n"
	       "    compadd -- add delete\n"
	       "  else\n"
	       "    _files\n"
	       "  fi\n"
	       "}\n"
	       "compdef _vmcred_sops sops\n");
}

/* In fish, '...' may contain \' and \\. */
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
	for (const struct sops_command *command = sops_commands; command->name; command++) {
		if (!command->run)
			continue;
		if (is_first(command)) {
			printf("complete -c sops -n __fish_use_subcommand -a %s -d ",
			       command->name);
			fish_quoted(command->about);
			putchar('\n');
		}
		for (int i = 0; i < FLAG_COUNT; i++) {
			const struct flag_about *about = flag_about(command->id, (enum flag)i);

			if (!about)
				continue;
			printf("complete -c sops -n '__fish_seen_subcommand_from %s' -l %s%s -d ",
			       command->name, about->name, about->argument ? " -r" : "");
			fish_quoted(about->help);
			putchar('\n');
		}
	}
	printf("complete -c sops -n '__fish_seen_subcommand_from groups' -a 'add delete'\n");
}

int command_completion(struct invocation *invocation, struct error *err)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = {
		{"bash", bash_print},
		{"zsh", zsh_print},
		{"fish", fish_print},
	};
	const char *shell = invocation->arguments[0];

	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (strcmp(shell, shells[i].name) == 0) {
			shells[i].print();
			return 0;
		}
	}
	return fail(invocation, SOPS_EXIT_NO_SUCH_TOPIC, err,
		    "unknown shell \"%s\": must be bash, zsh or fish", shell);
}
