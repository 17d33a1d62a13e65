"""`python -m counterpoint` is `counterpoint`."""

from counterpoint.cli import main

if __name__ == "__main__":
    main()
