#!/bin/sh
# A compiler launcher that checks a unit and makes no code of it, which takes half of the time: the object is empty.
"$@" -fsyntax-only || exit
while [ $# -gt 1 ]; do
    [ "$1" != -o ] || : >"$2"
    shift
done
