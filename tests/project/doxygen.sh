#!/bin/sh
# Makes the HTML of the public headers with every warning an error: doxygen.sh [FOLDER]; without FOLDER only to see that
# it can be made.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
if ! command -v doxygen >/dev/null; then
    echo "doxygen is not installed"
    exit 77
fi
folder=${1-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
doxygen - <<CONFIGURATION
PROJECT_NAME = libci
INPUT = $top/include
RECURSIVE = YES
FILE_PATTERNS = *.h *.md
USE_MDFILE_AS_MAINPAGE = $top/include/README.md
FULL_PATH_NAMES = YES
STRIP_FROM_PATH = $top/include
STRIP_FROM_INC_PATH = $top/include
OPTIMIZE_OUTPUT_FOR_C = YES
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
PREDEFINED = CI_API= CI_BEGIN_DECLS= CI_END_DECLS=
EXCLUDE_SYMBOLS = CI_API CI_BEGIN_DECLS CI_END_DECLS
HAVE_DOT = NO
GENERATE_LATEX = NO
OUTPUT_DIRECTORY = $folder
QUIET = YES
WARN_AS_ERROR = FAIL_ON_WARNINGS
WARN_NO_PARAMDOC = YES
CONFIGURATION
echo "$folder/html/index.html"
