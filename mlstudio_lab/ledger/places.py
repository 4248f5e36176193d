"""Which file system a folder is on, and whether a ledger may live there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mlstudio_lab.core.errors import StorageFailed

MOUNTS: Final = Path("/proc/self/mountinfo")
"""Where Linux lists this process's mounts; elsewhere nothing is known and nothing refused."""

_NETWORK: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs",
        "pvfs2", "smb", "smb2", "smb3", "smbfs", "davfs", "afpfs", "webdav",
    }
)  # fmt: skip
_NETWORK_FUSE: Final = frozenset(
    {
        "sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "ceph", "goofys", "blobfuse", "blobfuse2", "davfs", "davfs2", "juicefs",
        "curlftpfs", "cvmfs2", "mount-s3", "moosefs", "mfs", "alluxio-fuse", "seaweedfs", "smbnetfs", "dbfs",
    }
)  # fmt: skip


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system a folder is on, such as "ext4" or "fuse.sshfs"; "" where that cannot be known.

    Args:
        folder: Absolute; need not exist yet.
        mounts: A file in the form of Linux's mountinfo.

    Example:
        >>> file_system(Path("/"), Path("/no/such/file"))
        ''
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    wanted = folder.resolve()
    best, answer = -1, ""
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = Path(_unescape(fields[4]))
        # The last mount on a point is the one that shows, hence >=.
        if (wanted == point or point in wanted.parents) and len(point.parts) >= best:
            best, answer = len(point.parts), after.split(" ")[0]
    return answer


def is_network(kind: str) -> bool:
    """Whether a file system of that type is shared between machines.

    Example:
        >>> is_network("nfs4"), is_network("fuse.sshfs"), is_network("ext4")
        (True, True, False)
    """
    return kind in _NETWORK or (kind.startswith("fuse.") and kind.removeprefix("fuse.") in _NETWORK_FUSE)


def check_local(folder: Path, mounts: Path = MOUNTS) -> None:
    """Returns when a ledger may live in the folder.

    Raises:
        StorageFailed: It is on a network file system, where SQLite's write-ahead log loses or garbles commits.
    """
    kind = file_system(folder, mounts)
    if is_network(kind):
        raise StorageFailed(
            f"{folder} is on a network file system ({kind}), which cannot hold a ledger",
            subject=str(folder),
            hint="choose a home on a local disk with MLSTUDIO_HOME; blobs may stay where they are",
        )


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
