"""The one process that serves a home: routes, who calls, events, start and end; it wires the rooms together."""
