"""The HTTP client and the handles people hold: Studio, ModuleHandle, Run, Dataset; the kernel executor."""
