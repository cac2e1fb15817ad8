"""Hypothesis strategies of what an OpenAPI document allows; for the keywords that ours uses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]


class Drawn:
    """Values of a document's schemas.

    Parameters
    ----------
    document
        The OpenAPI document.
    known
        By property, values to draw instead of any: ids of products, pictures.
    fields
        By field, the values that conditions and boosts may name; none: any texts.
    """

    def __init__(
        self,
        document: Schema,
        known: Mapping[str, st.SearchStrategy[Any]] | None = None,
        fields: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._schemas = document["components"]["schemas"]
        self._known = known or {}
        self._fields = fields

    def of(self, name: str) -> st.SearchStrategy[Any]:
        """Values of one of the document's schemas."""
        return self._values({"$ref": f"#/components/schemas/{name}"})

    def _values(self, schema: Schema) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rsplit("/", 1)[1]]
        if "const" in schema:
            return st.just(schema["const"])
        if "anyOf" in schema:
            return st.one_of([self._values(part) for part in schema["anyOf"]])
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if not kinds:
            return st.none() | st.booleans() | st.text()
        return st.one_of([getattr(self, f"_{kind}")(schema) for kind in kinds])

    def _null(self, _: Schema) -> st.SearchStrategy[None]:
        return st.none()

    def _boolean(self, _: Schema) -> st.SearchStrategy[bool]:
        return st.booleans()

    def _integer(self, schema: Schema) -> st.SearchStrategy[int | float]:
        # JSON does not tell 5 from 5.0.
        whole = st.integers(schema.get("minimum"), schema.get("maximum"))
        return whole | whole.map(float)

    def _number(self, schema: Schema) -> st.SearchStrategy[int | float]:
        low, high = schema.get("minimum"), schema.get("maximum")
        numbers = st.floats(low, high, allow_nan=False, allow_infinity=False)
        return numbers | st.sampled_from([low, high]) if low is not None else numbers

    def _string(self, schema: Schema) -> st.SearchStrategy[str]:
        if schema.get("contentEncoding") == "base64":
            most = schema["maxLength"] // 4 * 3
            pictures = st.binary(min_size=1, max_size=min(most, 60))
            return pictures.map(lambda content: base64.b64encode(content).decode())
        return st.text(
            st.characters(exclude_categories=["Cs"]),
            min_size=schema.get("minLength", 0),
            max_size=min(12, schema.get("maxLength", 12)),
        )

    def _array(self, schema: Schema) -> st.SearchStrategy[list[Any]]:
        most = min(schema.get("maxItems", 4), 4)
        return st.lists(
            self._values(schema["items"]), min_size=schema.get("minItems", 0), max_size=most
        )

    def _object(self, schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
        if "oneOf" in schema:
            return st.one_of([self._with(schema, part) for part in schema["oneOf"]])
        return self._with(schema, {})

    def _with(self, schema: Schema, part: Schema) -> st.SearchStrategy[dict[str, Any]]:
        """An object that has what the part requires, and nothing that another part does."""
        properties = schema.get("properties", {})
        required = part.get("required", schema.get("required", []))
        others = {name for other in schema.get("oneOf", []) for name in other["required"]}
        optional = {
            name: self._of_property(name, properties[name])
            for name in properties
            if name not in required and name not in others
        }
        fixed = {
            name: self._of_property(name, properties[name]).filter(lambda value: value is not None)
            for name in required
        }
        named = st.fixed_dictionaries(fixed, optional=optional)
        if schema.get("minProperties"):
            named = named.filter(lambda found: len(found) >= schema["minProperties"])
        more = schema.get("additionalProperties")
        if not isinstance(more, Mapping):
            return named
        most = min(schema.get("maxProperties", 3), 3)
        return st.dictionaries(self._string({}), self._values(more), max_size=most)

    def _of_property(self, name: str, schema: Schema) -> st.SearchStrategy[Any]:
        if name in self._known:
            return self._known[name]
        if name == "where" and self._fields:
            return self._where(self._fields)
        if name == "boost" and self._fields:
            return self._boost(schema, self._fields)
        return self._values(schema)

    def _where(self, fields: Mapping[str, tuple[str, ...]]) -> st.SearchStrategy[Any]:
        conditions = {}
        for field, values in fields.items():
            some = st.sampled_from(values)
            named = some | st.lists(some, min_size=1, max_size=3)
            conditions[field] = named | st.fixed_dictionaries({"not": named})
        return st.fixed_dictionaries({}, optional=conditions)

    def _boost(
        self, schema: Schema, fields: Mapping[str, tuple[str, ...]]
    ) -> st.SearchStrategy[Any]:
        weight = self._values(schema["additionalProperties"]["additionalProperties"])
        of_field = {
            field: st.dictionaries(st.sampled_from(values), weight, max_size=2)
            for field, values in fields.items()
        }
        return st.fixed_dictionaries({}, optional=of_field)
