"""Run the command ``softgrad`` as ``python -m softgrad``."""

from softgrad_command import main

if __name__ == "__main__":
    main()
