"""``python -m pagehint``: the command line."""

from pagehint.cli.main import main

if __name__ == "__main__":
    main()
