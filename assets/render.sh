#!/bin/sh
# Renders the pictures beside this script from their SVG sources.
# Sizes are twice what the scene shows at its smallest: smooth, and sharp on dense screens.
# Needs rsvg-convert (package librsvg2-bin); only for who changes a source.
set -eu
cd "$(dirname "$0")"
picture() { rsvg-convert --width "$2" --height "$3" --output "$1.png" "$1.svg"; }
picture ghost 104 104
picture eyes 104 104
picture glow 256 256
picture trail 8 64
picture portal 240 240
picture wall 96 96
picture floor 96 96
picture lantern 84 84
picture crown 60 60
