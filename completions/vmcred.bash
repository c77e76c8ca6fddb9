# bash completion for vmcred, which prints the candidates itself
# shellcheck shell=bash

_vmcred() {
	local word=${COMP_WORDS[COMP_CWORD]} line
	local -a lines
	# --name=value is three words here.
	[[ $word == = ]] && word=
	COMPREPLY=()
	mapfile -t lines < <(vmcred --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	for line in "${lines[@]}"; do
		case $line in
		:files) compopt -o default ;;
		:directories) compopt -o dirnames ;;
		"$word"*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done
}

complete -F _vmcred vmcred
