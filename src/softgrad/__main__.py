"""Run the command ``softgrad`` as ``python -m softgrad``."""

from softgrad_command import main

main()
