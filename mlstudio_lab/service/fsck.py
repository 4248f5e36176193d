"""`python -m mlstudio_lab.service.fsck --home DIR`: looks for damage in a home and prints one JSON object; changes nothing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.errors import StudioError
from mlstudio_lab.ledger.fsck import check
from mlstudio_lab.ledger.ledger import FILE, Ledger
from mlstudio_lab.service.clock import SystemClock


def examine(home: Path) -> dict[str, Any]:
    """What is damaged in a home, as `{"ok", "home", "findings": [{"where", "what"}]}`; it may be in use meanwhile.

    Raises:
        StudioError: There is no ledger, it is a newer studio's, or it cannot be opened at all.

    Example:
        >>> examine(Path("/data/studio"))["ok"]  # doctest: +SKIP
        True
    """
    blobs = LocalBlobs(home / "blobs")
    if not (home / "ledger" / FILE).exists() and next(blobs.iter(), None) is not None:
        gone = {"where": f"{home / 'ledger' / FILE}", "what": "it is gone and blobs are there; a backup of the whole home restores it"}
        return {"ok": False, "home": str(home), "findings": [gone]}
    with Ledger.open(home / "ledger", SystemClock(), writing=False) as ledger:
        findings = [{"where": found.where, "what": found.what} for found in check(ledger, blobs)]
    return {"ok": not findings, "home": str(home), "findings": findings}


def main() -> int:
    """Exit code 0 clean, 1 corrupt or not examined."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    home = parser.parse_args().home
    try:
        found = examine(home)
    except StudioError as error:
        if error.code == "corrupt":
            found = {"ok": False, "home": str(home), "findings": [{"where": error.subject or "ledger.db", "what": error.message}]}
        else:
            found = {"error": {"code": error.code, "message": error.message, "subject": error.subject, "hint": error.hint}}
    print(json.dumps(found))
    return 0 if found.get("ok") else 1


if __name__ == "__main__":
    sys.exit(main())
