"""What came from what: the graph that `recsys trace` builds, and its drawings."""

from recsys.lineage.drawing import to_data, to_dot, to_mermaid
from recsys.lineage.graph import Graph, Node

__all__ = ["Graph", "Node", "to_data", "to_dot", "to_mermaid"]
