# shellcheck shell=sh
# Sourced by demo and test, with $root set to the project's folder: makes $root/.venv ready and sets $python in it.
# A stamp remembers what was installed, so that a second run needs neither time nor network.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "error: $*"
    exit 2
}

# Python 3.11 or later: $PYTHON, python3, or one named by its version. In an active environment, the one below it.
find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys._base_executable)'
            return 0
        fi
    done
    return 1
}

# need_debian MODULE PACKAGE: where Python cannot import the module, install the Debian package that has it.
need_debian() {
    if "$base_python" -c "import $1" 2>/dev/null; then
        return 0
    fi
    may_install || die "Python's module $1 is missing. On Debian or Ubuntu: sudo apt-get install $2"
    install_debian "$2"
}

may_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1
}

install_debian() {
    say "installing the Debian package $1"
    apt_output=$({ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"; } \
        2>&1) || {
        say "$apt_output"
        die "apt-get could not install $1"
    }
}

# need_slapd: the LDAP server that the tests of the directory start. Its package would start one on port 389, too.
need_slapd() {
    if PATH="$PATH:/usr/sbin" command -v slapd >/dev/null; then
        return 0
    fi
    if ! may_install; then
        say "slapd is missing: the tests of the directory will fail. On Debian or Ubuntu: sudo apt-get install slapd"
        return 0
    fi
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        install_debian slapd
    else
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
        install_debian slapd
        rm -f "$policy"
        trap - EXIT
    fi
}

# need_chromium: the browser in which the tests look at the report.
need_chromium() {
    if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then
        return 0
    fi
    if ! may_install; then
        say "Chromium is missing: the tests of the report will fail. On Debian or Ubuntu: sudo apt-get install chromium"
        return 0
    fi
    install_debian chromium
}

# Of all that the environment depends on. The folder counts, since the installed project points to it.
wanted_stamp() {
    "$base_python" - "$root" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
digest = hashlib.sha256(f"{root} {sys.base_prefix} {sys.version}".encode())
for name in ("requirements.lock", "pyproject.toml"):
    digest.update((root / name).read_bytes())
print(digest.hexdigest())
PYTHON
}

# Whether there is an environment at this very place, of this very Python, with pip.
usable() {
    "$python" -c 'import pip, sys; sys.exit([sys.prefix, sys.version] != sys.argv[1:])' \
        "$venv" "$("$base_python" -c 'import sys; print(sys.version)')" 2>/dev/null
}

quietly() {
    if ! "$@" >"$venv/setup.log" 2>&1; then
        cat "$venv/setup.log" >&2
        die "failed: $*"
    fi
}

set_up() {
    venv=$root/.venv
    python=$venv/bin/python
    base_python=$(find_python) || die "Python 3.11 or later is needed; python3 is: $(python3 --version 2>&1 || :)"
    stamp=$(wanted_stamp)
    if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ] && usable; then
        return 0
    fi
    say "setting up $venv (the first time this takes a minute or two)"
    if ! usable; then
        need_debian ensurepip "$("$base_python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        "$base_python" -m venv --clear "$venv" || die "could not make $venv"
    fi
    rm -f "$venv/stamp"
    quietly "$python" -m pip install --disable-pip-version-check --require-hashes -r "$root/requirements.lock"
    quietly "$python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
    printf '%s\n' "$stamp" >"$venv/stamp"
}

# It would put other modules before the ones installed here.
unset PYTHONPATH
set_up
