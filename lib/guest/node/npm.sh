#!/bin/sh
# `npm` in a session. Where there is no package.json, npm makes one, and a lock file, to remember what it has installed.
# These are not the user's files, and do not belong among those of the workspace: between two runs of npm they lie in
# node_modules, out of sight.

for npm in /usr/local/bin/npm /usr/bin/npm; do
    [ -x "$npm" ] && break
done

case "$1" in
init | create | innit | pkg | set-script | version | link | ln)
    exec "$npm" "$@" # these are about the user's own package.json
    ;;
esac
for argument; do
    case "$argument" in
    -g | --global | --prefix | --prefix=* | -C | --location=*)
        exec "$npm" "$@"
        ;;
    esac
done

# The folder that npm will take.
folder=$(pwd -P)
while [ ! -e "$folder/package.json" ] && [ ! -d "$folder/node_modules" ]; do
    folder=${folder%/*}
    [ -n "$folder" ] || { folder=$(pwd -P); break; }
done
[ ! -e "$folder/package.json" ] && [ ! -e "$folder/package-lock.json" ] || exec "$npm" "$@"

hidden=$folder/node_modules/.npm-made
put_away() {
    [ -d "$folder/node_modules" ] && mkdir -p "$hidden"
    for name in package.json package-lock.json; do
        [ ! -f "$folder/$name" ] || mv "$folder/$name" "$hidden/$name" 2>/dev/null || rm -f "$folder/$name"
    done
}
trap : INT TERM
for name in package.json package-lock.json; do
    [ ! -f "$hidden/$name" ] || cp "$hidden/$name" "$folder/$name"
done
"$npm" "$@"
status=$?
put_away
exit $status
