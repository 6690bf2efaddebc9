# shellcheck shell=sh
# Sourced by the jobs and by entry: runs commands so that SIGTERM and SIGINT reach them, and keeps the worst exit status.
# A shell that is process 1 of a container would neither die of a signal nor pass it on by itself; nor would Python.

stopped=
child=
worst=0
# Commands in the background have no stdin unless they are lent this one, if there is one.
if (: 3<&0) 2>/dev/null; then exec 3<&0; else exec 3</dev/null; fi
trap 'stop 143' TERM
trap 'stop 130' INT
# What has one CPU's time in all, though it sees several, does more on one core (docs/performance.md). No cgroup that a task
# can read tells it.
if [ "${CPU_UNITS:-2048}" -le 1024 ] 2>/dev/null; then
    taskset -pc "$(cut -d ' ' -f 39 /proc/self/stat)" $$ >/dev/null 2>&1 || :
fi

stop() {
    stopped=$1
    # Always SIGTERM: a background command of a shell may ignore SIGINT.
    kill -TERM "$child" 2>/dev/null || :
}

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    say "error: $*"
    exit 2
}

command -v kaltura-archiver >/dev/null 2>&1 ||
    die "kaltura-archiver is not on the PATH: activate its environment (. .venv/bin/activate), or name its bin folder in PATH"

# Run a command to its end, signal or not; $status is what it returned. A signal ends the job after it.
run() {
    [ -z "$stopped" ] || exit "$stopped"
    status=0
    "$@" <&3 &
    child=$!
    # A signal between the check above and the start of the command went to nobody.
    [ -z "$stopped" ] || stop "$stopped"
    wait "$child" || status=$?
    # The signal ended that wait, not the command: it finishes the entry in hand.
    while [ -n "$stopped" ] && kill -0 "$child" 2>/dev/null; do
        status=0
        wait "$child" || status=$?
    done
    child=
    [ -z "$stopped" ] || exit "$stopped"
}

# One step of a job; the next one follows though entries failed in this one.
# step COMMAND [ARGUMENT ...]: $SELECTION can narrow what the job takes, not widen it: an option of ours that it names, too,
# is refused (status 2).
step() {
    command=$1
    shift
    # shellcheck disable=SC2086 # words of options, by design
    set -- kaltura-archiver ${LOG_FORMAT:+--log-format "$LOG_FORMAT"} "$command" ${SELECTION-} "$@" $tolerate
    say "$*"
    run "$@"
    case $status:$worst in
        0:*) ;;
        3:0) worst=3 ;;
        4:[03]) worst=4 ;;
        1:*) worst=1 ;;
        [34]:*) ;;
        # The lock may be that which the failed one could not renew. No alarm tells of 5 (aws/alarms.yaml).
        5:1) exit 1 ;;
        # Settings, a lock, a kill: the next command would end no better.
        *) exit "$status" ;;
    esac
}

# A step that changes something; without DOIT=true it only tells what it would do with one entry.
act() {
    if [ "$DOIT" = true ]; then
        set -- "$@" --max-entries "${MAX_ENTRIES:--1}" --no-dry-run
    else
        set -- "$@" --max-entries 1 --dry-run
    fi
    step "$@" ${MAX_COST:+--max-cost "$MAX_COST"} ${MAX_BYTES:+--max-bytes "$MAX_BYTES"} ${WORKERS:+--workers "$WORKERS"}
}

# The last line of a job: what is left to be done by the rule of N_YEARS, and by which commands. That there is any is no
# status of the job's: its own commands have told what they could not do.
left() {
    most=1
    [ "$DOIT" != true ] || most=${MAX_ENTRIES:--1}
    tolerate='--tolerate 3'
    step due --years "$N_YEARS" "$@" --max-entries "$most" ${WORKERS:+--workers "$WORKERS"}
}

# What archive and restore need where a policy says what is done. Its own words select: N_YEARS is not heeded.
check_policy() {
    DOIT=${DOIT:-false}
    true_or_false DOIT "$DOIT"
    check_strict
    [ -z "${SELECTION-}" ] || die "POLICY and SELECTION: the policy itself says what is selected; leave one of them out"
    [ "${MAX_ENTRIES:--1}" = -1 ] && [ -z "${MAX_COST-}${MAX_BYTES-}" ] ||
        die "POLICY and MAX_ENTRIES, MAX_COST or MAX_BYTES: the policy says how much a run may do, in [rule.limits] and [restore.limits]"
}

# by_policy PART: the rules of the policy, or its restores.
by_policy() {
    acting=--dry-run
    [ "$DOIT" != true ] || acting=--no-dry-run
    step run "$POLICY" --part "$1" "$acting" ${WORKERS:+--workers "$WORKERS"}
}

# The end of a job that was not stopped. The line is what counts as a success for the alarms (aws/alarms.yaml).
end() {
    say "ended with status $worst"
    exit "$worst"
}

true_or_false() {
    case $2 in
        true | false) ;;
        *) die "$1 must be true or false, not '$2'" ;;
    esac
}

# What is a job's own is read from the environment alone: a SELECTION or MAX_COST that stands in .env would not be heeded.
check_env_file() {
    [ -f .env ] || return 0
    for name in SELECTION MAX_ENTRIES MAX_COST MAX_BYTES POLICY N_YEARS MIN_AGE_YEARS NOTICED_BEFORE DOIT STRICT STORAGE_CLASS TIER DAYS WORKERS; do
        eval "given=\${$name-}"
        [ -z "$given" ] || continue
        ! grep -Eq "^[[:space:]]*(export[[:space:]]+)?$name=." .env ||
            die "$name stands in .env, and is a job's own, which is read from the environment alone: export it"
    done
}

# That entries wait is not told by a status, unless STRICT; that they failed is.
check_strict() {
    check_env_file
    STRICT=${STRICT:-false}
    true_or_false STRICT "$STRICT"
    tolerate='--tolerate 3'
    [ "$STRICT" != true ] || tolerate=
}

# What archive and restore need of the environment.
check_settings() {
    DOIT=${DOIT:-false}
    true_or_false DOIT "$DOIT"
    check_strict
    [ -n "${N_YEARS-}" ] || die "N_YEARS is not set: a number of years, such as 3"
    check_years
}

check_years() {
    case $N_YEARS in
        *[!0-9.]* | *.*.* | *.) die "N_YEARS must be a number of years, not '$N_YEARS'" ;;
        *[1-9]*) ;;
        *) die "N_YEARS must be more than 0" ;; # archive would take everything
    esac
}

# Words of SELECTION are not file names.
set -f
