"""`python -m kaltura_archiver`, and the console script. To import all takes so long that Ctrl-C may come before it."""

import sys


def main() -> None:
    try:
        from kaltura_archiver.cli import main as begin
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
    begin()


if __name__ == "__main__":
    main()
