# Programs of others that need an environment of their own, outside the project. To be sourced.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/kaltura-archiver

# has NAME: whether it is installed.
has() {
    [ -e "$tools/$1/ready" ]
}

# installed NAME [PACKAGE ...]: have Python packages (one of that NAME) in the environment $tools/NAME; installed once.
installed() {
    has "$1" && return
    name=$1
    [ $# -eq 1 ] || shift
    printf 'installing %s\n' "$name" >&2
    "${PYTHON:-python3}" -m venv --clear "$tools/$name"
    "$tools/$name/bin/pip" install -q --disable-pip-version-check "$@" >&2
    touch "$tools/$name/ready"
}
