"""`python -m manman`, and the console script."""


def main() -> None:
    """Run the command line; everything else is imported when called."""
    from manman.cli.main import app

    app(prog_name="manman")


if __name__ == "__main__":
    main()
