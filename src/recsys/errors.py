"""Every error this project raises, in one tree.

Each message says what was found, what was allowed and what to do next. ``exit_code`` is
what the command line returns: 1 refused by a gate, 2 bad input or usage, 3 something
outside failed.

    RecsysError
    ├── GateRefused                  a suite said no; the live release is untouched
    ├── ReleaseTakenBack             worse than the one before, which is live again
    ├── BadInput
    │   ├── SettingsInvalid
    │   ├── DeliveryUnreadable       a catalog delivery that cannot even be opened safely
    │   ├── ImageRejected            bytes that are not an image we accept
    │   ├── QueryRejected            a prediction request that is wrong (HTTP 400)
    │   │   └── ProductUnknown       … that names a product we do not have (HTTP 404)
    │   ├── ReleaseUnknown
    │   ├── ClusterRefused           Kubernetes does not allow what we ask, or cannot do it
    │   └── PortTaken
    ├── ArtifactInvalid              a file of ours that does not match its digest or schema
    └── OutsideFailed
        ├── ServiceUnavailable       Airflow, MLflow or the Seldon microservice does not answer
        ├── DeployFailed             a release did not go live; the previous one still is
        └── StoreError               data provenance
            ├── RepoNotFound, CommitNotFound, FileMissing
            │                     └── ContentRemoved   purged or collected; lineage stays
            ├── CommitClosed, BranchBusy
            ├── InvalidInputs, InvalidPath, InvalidName
            ├── StoreUnavailable
            └── StoreDamaged
"""

from __future__ import annotations


class RecsysError(Exception):
    """Base of every error of this project."""

    exit_code = 3


class GateRefused(RecsysError):
    """A Great Expectations suite refused an artefact.

    ``verdict`` is the whole `recsys.artifacts.Verdict` as JSON-ready data.
    """

    exit_code = 1

    def __init__(self, message: str, verdict: dict[str, object]) -> None:
        super().__init__(message)
        self.verdict = verdict


class ReleaseTakenBack(RecsysError):
    """A release was worse than the one before it, and was rolled back by the watch."""

    exit_code = 1


class BadInput(RecsysError):
    """Something given to us is wrong; trying again will not help."""

    exit_code = 2


class SettingsInvalid(BadInput):
    """A setting, or two settings together, cannot be."""


class DeliveryUnreadable(BadInput):
    """A catalog delivery is missing, unsafe or in no layout we know."""


class ImageRejected(BadInput):
    """Bytes that are not an image we accept: format, size or content."""


class QueryRejected(BadInput):
    """A prediction request that is wrong; ``status_code`` is its HTTP status."""

    status_code = 400


class ProductUnknown(QueryRejected):
    """A prediction request names a product that the live release does not hold."""

    status_code = 404


class ReleaseUnknown(BadInput):
    """A release id that is not on this machine."""


class ClusterRefused(BadInput):
    """The Kubernetes API server refused: no permission, no Seldon there, or a wrong object."""


class PortTaken(BadInput):
    """A port that a service of ours needs is held by another process."""


class ArtifactInvalid(RecsysError):
    """A file of ours does not match its digest, its schema or the parts beside it."""


class OutsideFailed(RecsysError):
    """Something outside this process failed; a retry may help."""


class ServiceUnavailable(OutsideFailed):
    """A service does not answer, or not in time."""


class DeployFailed(OutsideFailed):
    """A release did not go live; the previous one was left, or put back, in place."""


class StoreError(OutsideFailed):
    """Base of the data provenance errors."""


class RepoNotFound(StoreError):
    """No such repo."""


class CommitNotFound(StoreError):
    """No such commit in the repo."""


class FileMissing(StoreError):
    """No such file in the commit."""


class ContentRemoved(FileMissing):
    """A file whose bytes were purged or collected; the commit and its lineage are still there."""


class CommitClosed(StoreError):
    """A write to a commit that was finished or abandoned."""


class BranchBusy(StoreError):
    """Another writer holds the branch; one producer at a time."""


class InvalidInputs(StoreError):
    """A commit's inputs break the rules: own repo, one repo twice, or other repos than before."""


class InvalidPath(StoreError):
    """A file path that neither adapter accepts."""


class InvalidName(StoreError):
    """A repo or branch name that neither adapter accepts."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or opened."""


class StoreDamaged(StoreError):
    """Stored bytes do not match their digest."""
