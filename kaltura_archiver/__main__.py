"""`python -m kaltura_archiver`."""

from kaltura_archiver.cli import main

if __name__ == "__main__":
    main()
