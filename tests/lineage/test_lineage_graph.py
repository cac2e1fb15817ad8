"""The graph of what came from what, and its drawings."""

from __future__ import annotations

import re

import pytest

from recsys.lineage import Graph, Node, to_data, to_dot, to_mermaid


@pytest.fixture
def graph() -> Graph:
    made = Graph()
    made.add(Node("r", "release", 'r-1 "new"'), ["i", "elsewhere"])
    made.add(Node("i", "index", "i-1"), ["c"])
    made.add(Node("c", "catalog", "first", {"night": "2026-01-01"}))
    return made


def test_arrows_are_followed_both_ways(graph: Graph) -> None:
    assert [node.id for node in graph.origins("r")] == ["i"]
    assert [node.id for node in graph.results("c")] == ["i"]
    assert graph.origins("c") == graph.results("r") == []


def test_a_node_that_is_added_again_gains_arrows_and_keeps_its_facts(graph: Graph) -> None:
    graph.add(Node("c", "catalog", "second"), ["p"])
    graph.add(Node("p", "picture", "p"))
    assert graph.node("c").label == "first"
    assert [node.id for node in graph.origins("c")] == ["p"]
    assert len(graph) == 4


def test_arrows_to_what_the_graph_does_not_hold_are_left_out(graph: Graph) -> None:
    assert list(graph.arrows()) == [("r", "i"), ("i", "c")]


def test_a_mermaid_chart_has_every_node_and_no_foreign_syntax(graph: Graph) -> None:
    lines = to_mermaid(graph).splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[1] == '    n0["release: r-1 #34;new#34;"]'
    assert lines[4:] == ["    n1 --> n0", "    n2 --> n1"]
    assert all(re.fullmatch(r'    n\d\["[^"]*"\]', line) for line in lines[1:4])


def test_a_graphviz_chart_quotes_its_labels(graph: Graph) -> None:
    text = to_dot(graph)
    assert r'"r" [label="release: r-1 \"new\""];' in text
    assert '"c" -> "i";' in text


def test_the_data_hold_nodes_facts_and_arrows(graph: Graph) -> None:
    data = to_data(graph)
    assert data["nodes"][2]["facts"] == {"night": "2026-01-01"}
    assert data["arrows"] == [["r", "i"], ["i", "c"]]
