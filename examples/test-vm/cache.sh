# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the scripts that build Debian roots. It keeps what they build; an interrupted or failed build leaves nothing.

# Callers use `$(cached ...)`: a failed build must end it there too.
set -e
shopt -s inherit_errexit

# shellcheck disable=SC2034 # the scripts that source this file use it
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmcred

# cached NAME FUNCTION INPUT...
# Prints the directory that `FUNCTION DIRECTORY` fills from the INPUT files. Calls it only if no earlier call with the
# same inputs has finished. Meanwhile, other callers with the same NAME wait.
cached() {
	local name=$1 build=$2 key directory
	shift 2
	key=$(cat -- "$@" | sha256sum)
	directory=$cache/$name-${key:0:16}
	mkdir -p "$cache"
	exec 9>"$cache/.$name.lock"
	flock 9
	if [ ! -d "$directory" ]; then
		# We hold the lock, so an interrupted build left them.
		rm -rf "$cache/.$name".new.*
		unfinished=$(mktemp -d "$cache/.$name.new.XXXXXX")
		trap 'rm -rf "$unfinished"' EXIT
		trap 'exit 130' INT TERM
		"$build" "$unfinished" >&2
		chmod 755 "$unfinished"
		mv -T "$unfinished" "$directory"
		trap - EXIT INT TERM
	fi
	exec 9>&-
	echo "$directory"
}

# debian SUITE VARIANT PACKAGES TARGET [OPTION...]: a Debian root from the mirror in $DEBIAN_MIRROR, or from Debian's own.
debian() {
	local suite=$1 variant=$2 packages=$3 target=$4
	shift 4
	mmdebstrap --variant="$variant" --include="$packages" --aptopt='APT::Install-Recommends "false"' \
		"$@" "$suite" "$target" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
}
