"""``python -m lingarith`` and ``torchrun … -m lingarith`` are the command ``lingarith``."""

from .cli.main import main

if __name__ == "__main__":
    main()
