"""`python -m mlstudio_lab.worker --fd N --home H`."""

from mlstudio_lab.worker.main import main

if __name__ == "__main__":
    main()
