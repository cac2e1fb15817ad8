"""How fresh the feature store is: whose vectors, of which products, how old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from recsys.artifacts.catalog import ID_COLUMN, ValidatedCatalog
from recsys.artifacts.index import EmbeddingSet
from recsys.artifacts.live import read_live
from recsys.artifacts.model import ApprovedModel
from recsys.artifacts.release import read_manifest
from recsys.embedding.shards import Embedding
from recsys.errors import BadInput, ProductUnknown
from recsys.stages.feature_store import open_embeddings
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import products_of


@dataclass(frozen=True)
class Coverage:
    """The newest embeddings beside the champion, the live release and the newest catalog.

    ``with_vector`` of the ``products`` of the newest validated catalog have a vector of
    their very picture; ``without`` names the others. ``live_release`` and ``live_model`` are
    empty when no release is live. ``stale`` says in sentences what is not as it should be.
    """

    embeddings: str
    model: str
    champion: str
    live_release: str
    live_model: str
    catalog: str
    products: int
    with_vector: int
    without: tuple[str, ...]
    rows: int
    taken_over: int
    embedded: int
    age_seconds: float
    stale: tuple[str, ...]


@dataclass(frozen=True)
class ProductVector:
    """One product's vector in the newest embeddings; ``current`` says it is of the picture that
    the newest validated catalog shows.
    """

    embedding: Embedding
    embeddings: str
    model: str
    current: bool


def embedding_coverage(night: Night) -> Coverage:
    """Look at the newest embeddings.

    Raises
    ------
    BadInput
        There are none yet.
    """
    found = newest_embeddings(night)
    with open_embeddings(night, found.ref, found.artifact.model_digest) as shards:
        embedded = set(zip(shards.products(), shards.pictures(), strict=True))
    validated = _newest_catalog(night)
    table = products_of(night, validated)
    shown = zip(table[ID_COLUMN], table["sha256_bytes"], strict=True)
    without = tuple(product for product, picture in shown if (product, picture) not in embedded)
    champion = night.newest("approve_model", ApprovedModel)
    live_release, live_model = _live(night)
    model, reigning = found.artifact.version, "" if champion is None else champion.artifact.version
    return Coverage(
        embeddings=found.ref,
        model=model,
        champion=reigning,
        live_release=live_release,
        live_model=live_model,
        catalog=validated.artifact.catalog,
        products=len(table),
        with_vector=len(table) - len(without),
        without=without,
        rows=found.artifact.rows,
        taken_over=found.artifact.taken_over,
        embedded=found.artifact.embedded,
        age_seconds=_age_seconds(night, found.ref),
        stale=tuple(_stale(model, reigning, live_release, live_model, without)),
    )


def product_vector(night: Night, product: str) -> ProductVector:
    """What the newest embeddings hold of a product; only the part that may hold it is read.

    Raises
    ------
    ProductUnknown
        They do not hold it.
    BadInput
        There are no embeddings yet.
    """
    found = newest_embeddings(night)
    with open_embeddings(night, found.ref, found.artifact.model_digest) as shards:
        embedding = shards.find(product)
    if embedding is None:
        raise ProductUnknown(
            f"product {product[:80]!r} is not among the {found.artifact.rows} products"
            f" of {found.ref}"
        )
    return ProductVector(embedding, found.ref, found.artifact.version, _is_shown(night, embedding))


def newest_embeddings(night: Night) -> Opened[EmbeddingSet]:
    """The newest commit of the feature store.

    Raises
    ------
    BadInput
        There is none yet.
    """
    found = night.newest("embed_catalog", EmbeddingSet)
    if found is None:
        raise BadInput("no catalog was embedded yet: run a night first (`recsys nightly`)")
    return found


def _newest_catalog(night: Night) -> Opened[ValidatedCatalog]:
    validated = night.newest("validate_catalog", ValidatedCatalog)
    if validated is None:  # embeddings without a catalog cannot be
        raise BadInput("no catalog was validated yet: run a night first (`recsys nightly`)")
    return validated


def _is_shown(night: Night, embedding: Embedding) -> bool:
    table = products_of(night, _newest_catalog(night))
    pictures = table.loc[table[ID_COLUMN] == embedding.product, "sha256_bytes"].tolist()
    return pictures == [embedding.picture]


def _live(night: Night) -> tuple[str, str]:
    live = read_live(night.settings.releases_dir)
    if live is None:
        return "", ""
    return live, read_manifest(night.settings.releases_dir / live).model_version


def _age_seconds(night: Night, ref: str) -> float:
    return round((datetime.now(UTC) - night.store.inspect(ref).finished).total_seconds(), 1)


def _stale(
    model: str, champion: str, live_release: str, live_model: str, without: tuple[str, ...]
) -> list[str]:
    said = []
    if champion and model != champion:
        said.append(f"the vectors are those of {model}, but {champion} is champion")
    if live_model and model != live_model:
        said.append(f"the live release {live_release} answers with {live_model}, not with {model}")
    if without:
        said.append(
            f"{len(without)} products of the newest catalog have no vector of their picture"
        )
    return said
