"""`python -m mlstudio_lab.service --home H`."""

import sys

from mlstudio_lab.service.main import main

if __name__ == "__main__":
    sys.exit(main())
