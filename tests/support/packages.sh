#!/usr/bin/env bash
# Installs the Debian packages named as arguments that are missing. Quiet where nothing is. "a|b" is met by either; where
# neither is installed, the first one this release of Debian or Ubuntu has is taken.
set -euo pipefail
installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }
missing=()
for argument in "$@"; do
  met=0
  for package in ${argument//|/ }; do
    if installed "$package"; then met=1; fi
  done
  [ "$met" -eq 1 ] || missing+=("$argument")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "packages are missing and there is neither root nor sudo: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
"${sudo[@]}" apt-get update -q
chosen=()
for argument in "${missing[@]}"; do
  for package in ${argument//|/ }; do
    if apt-cache show "$package" >/dev/null 2>&1; then chosen+=("$package"); break; fi
  done
done
echo "installing: ${chosen[*]}"
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${chosen[@]}"
