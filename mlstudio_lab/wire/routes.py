"""The HTTP surface as facts: the API's major version, header names, and every route; light to import for clients."""

from __future__ import annotations

from typing import Final

API: Final = 1
"""Major version of the HTTP surface; both ends must have the same."""

ROOT: Final = "/api/v1"
"""Prefix of every route."""

API_HEADER: Final = "x-mlstudio-api"
"""Header in which each side says the API major it speaks; a request without it is taken as a person with a browser or curl."""

KIND_HEADER: Final = "x-mlstudio-kind"
"""Header naming a blob's kind on `PUT` and `GET /blobs/{digest}`."""

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Largest JSON body; blobs stream and have no such limit."""

MAX_WAIT_S: Final = 60.0
"""Longest time one request waits for a run; clients ask again."""

NEEDS_BUNDLE: Final = "bundle"
NEEDS_PAYLOAD: Final = "payload"
NEEDS_KERNEL: Final = "kernel"
"""`RunView.needs` entries. `bundle`: the version is not known here, send it. `payload`: not reusable, send the inputs.
`kernel`: no worker can run this faithfully; run it in your own process as attempt `attempt` with `fence` and report it to
`POST /runs/{id}/outcome`. `blob:<digest>`: upload this blob, then send the request again."""

ROUTES: Final[tuple[tuple[str, str, str], ...]] = (
    ("GET", "/handshake", "Who answers: API major, home, process, user, executors."),
    ("GET", "/status", "Executors, runs under way, uptime."),
    ("POST", "/shutdown", "Stops the service; runs resume with the next one."),
    ("POST", "/runs", "Runs a module version on inputs, or answers from memory."),
    ("GET", "/runs", "Runs, newest first."),
    ("GET", "/runs/{run}", "One run by ULID or number; waits up to wait_s for its end."),
    ("GET", "/runs/{run}/stream", "What a run says while it runs, one JSON object a line, until its final state."),
    ("GET", "/runs/{run}/result", "The run's outputs."),
    ("GET", "/runs/{run}/logs", "What the run said."),
    ("GET", "/runs/{run}/lineage", "The run's column edges and labels."),
    ("POST", "/runs/{run}/cancel", "Stops a run: asked at once, forced within 3 s."),
    ("POST", "/runs/{run}/clone", "The same run with other parameters or inputs."),
    ("POST", "/runs/{run}/rerun", "The same run again."),
    ("POST", "/runs/{run}/outcome", "How an attempt ended that the sender ran in its own process."),
    ("POST", "/modules", "Publishes a version and moves a tag to it."),
    ("GET", "/modules", "Modules, by name."),
    ("GET", "/modules/{namespace}/{name}", "One module: versions, tags, last run."),
    ("GET", "/modules/{namespace}/{name}/versions/{ref}", "One version with its source; ref is a tag, vN or a digest."),
    ("GET", "/modules/{namespace}/{name}/versions/{ref}/wheel", "The version as a wheel."),
    ("GET", "/modules/{namespace}/{name}/diff", "What differs between versions a and b."),
    ("PUT", "/modules/{namespace}/{name}/tags/{tag}", "Moves a tag by compare-and-set."),
    ("POST", "/datasets", "Adds a dataset version: stored values or a reference."),
    ("GET", "/datasets", "Datasets, by name."),
    ("GET", "/datasets/{namespace}/{name}", "One dataset: schema, labels, versions."),
    ("GET", "/datasets/{namespace}/{name}/head", "The first rows, as text."),
    ("GET", "/datasets/{namespace}/{name}/lineage", "What a column came from or feeds."),
    ("GET", "/lineage", "What one output column of a run came from."),
    ("PUT", "/blobs/{digest}", "Stores bytes under their digest."),
    ("GET", "/blobs/{digest}", "Bytes by digest."),
    ("POST", "/blobs/missing", "Which of these digests are not here."),
    ("GET", "/cluster", "The hot cluster: executors and workers."),
    ("GET", "/events", "Server-sent events: ids and states only, with a cursor to resume from."),
    ("GET", "/openapi.json", "This surface in OpenAPI."),
)
"""(method, path below `ROOT`, what it gives) of every route; the service serves exactly these."""
