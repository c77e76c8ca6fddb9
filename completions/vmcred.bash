# bash completion for vmcred
# shellcheck shell=bash

_vmcred_names() {
	# Names in the declaration at the given top key: the lines indented by two below it.
	local file=vmcred.yaml i
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --config ]] && file=${COMP_WORDS[i + 1]}
	done
	[[ -r $file ]] || file=/etc/vmcred/vmcred.yaml
	[[ -r $file ]] && sed -n "/^$1:/,/^[^ #]/s/^  \\([A-Za-z0-9][A-Za-z0-9._-]*\\):.*/\\1/p" "$file"
}

_vmcred_sops_commands() {
	vmcred sops --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\).*/\1/p'
}

_vmcred_sops_flags() {
	# From the program: the flags of the command, if there is one.
	local command=
	[[ $1 =~ ^[a-z] ]] && command=$1
	[[ $command == groups ]] && command="groups $2"
	# shellcheck disable=SC2086 # a command may be two words
	vmcred sops $command --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p'
}

_vmcred() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
	local commands="init keygen generate list get set check readers fix prune machine user group activate serve units compose run status inspect sops age"
	local shared="--config --verbose --help"
	local -A options=(
		[init]="--user --age-key --json"
		[keygen]="--output --machine --force --json"
		[generate]="--generator --regenerate --all --overdue --dry-run --prompt --identity --no-sandbox --script-timeout --json"
		[list]="--json"
		[get]="--identity"
		[set]="--file --identity --allow-empty"
		[check]="--decrypt --identity --json"
		[readers]="--user --machine --history --json"
		[fix]="--dry-run --identity --json"
		[prune]="--dry-run --identity --yes --json"
		[machine]="--age-key --group --force --dry-run --identity --json"
		[user]="--age-key --pgp-key --group --force --dry-run --identity --json"
		[group]="--user --machine --dry-run --identity --json"
		[activate]="--machine --needed-for --identity --root --restart --restart-pending --dry-run --check-mode --ignore-passwd --json"
		[serve]="--machine --identity --idle-timeout"
		[units]="--machine --output --socket"
		[compose]="--credentials --json"
		[run]="--credentials --exec --expose --notify --ready-target --stop-timeout --supervise --transport --vsock-socket"
		[age]="--encrypt --decrypt --recipient --recipients-file --identity --passphrase --armor --output --version"
		[status]="--root --json"
		[inspect]="--identity --machine --proof --root --json"
	)
	COMPREPLY=()
	if [[ $command == sops ]] && ((COMP_CWORD > 1)); then
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_vmcred_sops_flags "${COMP_WORDS[@]:2}")" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			((COMP_CWORD == 2)) && mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$(_vmcred_sops_commands)" -- "$cur")
		fi
		return
	fi
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
		return
	fi
	case $prev in
	--config | --output | --recipients-file | --identity | --proof | --socket | --vsock-socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--root | --credentials) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	--machine) mapfile -t COMPREPLY < <(compgen -W "$(_vmcred_names machines)" -- "$cur") ;;
	--generator) mapfile -t COMPREPLY < <(compgen -W "$(_vmcred_names generators)" -- "$cur") ;;
	--needed-for) mapfile -t COMPREPLY < <(compgen -W "services users activation partitioning" -- "$cur") ;;
	--check-mode) mapfile -t COMPREPLY < <(compgen -W "manifest sopsfile off" -- "$cur") ;;
	--expose) mapfile -t COMPREPLY < <(compgen -W "argv log" -- "$cur") ;;
	--transport) mapfile -t COMPREPLY < <(compgen -W "smbios fw_cfg" -- "$cur") ;;
	*)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "${options[$command]} $shared" -- "$cur")
			return
		fi
		case $command in
		machine | user | group) mapfile -t COMPREPLY < <(compgen -W "add remove list" -- "$cur") ;;
		generate | list | get | set | check | fix) mapfile -t COMPREPLY < <(compgen -W "$(_vmcred_names machines)" -- "$cur") ;;
		activate | age) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		compose | run | status | inspect) mapfile -t COMPREPLY < <(compgen -W "$(_vmcred_names vms)" -- "$cur") ;;
		esac
		;;
	esac
}

complete -F _vmcred vmcred
