#!/bin/sh
# Renders the pictures beside this script from their SVG sources.
# Needs rsvg-convert (package librsvg2-bin); only for who changes a source.
set -eu
cd "$(dirname "$0")"
picture() { rsvg-convert --width "$2" --height "$3" --output "$1.png" "$1.svg"; }
picture ghost 192 192
picture eyes 192 192
picture glow 256 256
picture trail 8 64
picture portal 384 384
picture wall 96 96
picture floor 96 96
