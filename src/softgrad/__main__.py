"""``python -m softgrad``, the same as the command ``softgrad``."""

from softgrad_command import main

main()
