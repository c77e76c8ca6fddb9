# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by build-guest and build-host: builds that are kept, and are either whole or not there.

# shellcheck disable=SC2034 # the scripts that source this file use it
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmcred

# cached NAME FUNCTION INPUT...
# Prints the folder that holds what `FUNCTION FOLDER` makes from the INPUT files; calls it only where no earlier
# call with the same inputs has finished. Others that ask for the same NAME meanwhile wait.
cached() {
	local name=$1 build=$2 key folder
	shift 2
	key=$(cat -- "$@" | sha256sum)
	folder=$cache/$name-${key:0:16}
	mkdir -p "$cache"
	exec 9>"$cache/.$name.lock"
	flock 9
	if [ ! -d "$folder" ]; then
		# Only an interrupted build can have left one, since the lock is held.
		rm -rf "$cache/.$name".new.*
		unfinished=$(mktemp -d "$cache/.$name.new.XXXXXX")
		trap 'rm -rf "$unfinished"' EXIT
		trap 'exit 130' INT TERM
		"$build" "$unfinished" >&2
		chmod 755 "$unfinished"
		mv -T "$unfinished" "$folder"
		trap - EXIT INT TERM
	fi
	exec 9>&-
	echo "$folder"
}

# debian VARIANT PACKAGES TARGET [OPTION...]: Debian 12 from the mirror in $DEBIAN_MIRROR, or Debian's own.
debian() {
	local variant=$1 packages=$2 target=$3
	shift 3
	mmdebstrap --variant="$variant" --include="$packages" --aptopt='APT::Install-Recommends "false"' \
		"$@" bookworm "$target" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
}
