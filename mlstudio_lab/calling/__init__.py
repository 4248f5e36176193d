"""How a captured module is loaded, called and observed; workers and the kernel executor both use it."""
