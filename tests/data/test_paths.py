"""Paths as edges."""

import pytest
import torch

from seqgnn.data import exponential_hops, layers_to_reach, path_graph


class TestPathGraph:
    def test_path_graph_edges_equal_hand_values(self):
        assert path_graph(4, directed=False).tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
        assert path_graph(5, hops=(2, 1, 2, 4)).tolist() == [[0, 0, 0, 1, 1, 2, 2, 3], [1, 2, 4, 2, 3, 3, 4, 4]]

    @pytest.mark.parametrize("length", [1, 2, 7, 64])
    @pytest.mark.parametrize("hops", [(1,), (3, 1), (1, 2, 4, 8, 16, 32)])
    def test_path_graph_edges_are_all_pairs_at_hop_distance(self, length, hops):
        pairs = [[i, j] for i in range(length) for j in range(length) if j - i in hops]
        both = [[i, j] for i in range(length) for j in range(length) if abs(j - i) in hops]
        assert path_graph(length, hops=hops).t().tolist() == pairs
        assert path_graph(length, directed=False, hops=hops).t().tolist() == both

    def test_path_graph_directed_has_no_backward_edge(self):
        source, target = path_graph(50, hops=exponential_hops(50))
        assert bool((source < target).all())

    def test_path_graph_hops_beyond_length_are_left_out(self):
        assert path_graph(1).shape == (2, 0)
        assert path_graph(3, hops=(1, 3, 8)).tolist() == path_graph(3).tolist()

    @pytest.mark.parametrize("length", [0, -1, 2.0, True])
    def test_path_graph_invalid_length_raises_value_error(self, length):
        with pytest.raises(ValueError, match=r"path_graph: expected length to be an integer of at least 1, got"):
            path_graph(length)

    @pytest.mark.parametrize("hops", [(), (0,), (1, -2), (1.5,), 1, (True,)])
    def test_path_graph_invalid_hops_raise_value_error(self, hops):
        with pytest.raises(ValueError, match=r"path_graph: expected hops to be integers of at least 1, got"):
            path_graph(3, hops=hops)

    def test_exponential_hops(self):
        expected = {1: (1,), 2: (1,), 3: (1, 2), 4: (1, 2), 5: (1, 2, 4), 9: (1, 2, 4, 8), 33: (1, 2, 4, 8, 16, 32)}
        assert {length: exponential_hops(length) for length in expected} == expected
        with pytest.raises(ValueError, match="exponential_hops: expected length"):
            exponential_hops(0)


class TestLayersToReach:
    @pytest.mark.parametrize("directed", [True, False])
    @pytest.mark.parametrize("hops", [(1,), (1, 2, 4, 8), (1, 5, 6)])
    @pytest.mark.parametrize("distance", [0, 1, 7, 10, 15])
    def test_layers_to_reach_equals_powers_of_the_adjacency(self, distance, hops, directed):
        adjacency = torch.eye(distance + 1)
        adjacency[tuple(path_graph(distance + 1, directed, hops))] = 1
        power, rounds = torch.eye(distance + 1), 0
        while power[0, distance] == 0:
            power, rounds = power @ adjacency, rounds + 1
        assert layers_to_reach(distance, hops, directed) == rounds

    def test_layers_to_reach_undirected_uses_backward_shortcuts(self):
        assert layers_to_reach(4, hops=(2, 3)) == 2
        assert layers_to_reach(7, hops=(1, 4), directed=True) == 4
        assert layers_to_reach(7, hops=(1, 4), directed=False) == 3  # 0, 4, 3, 7
        assert layers_to_reach(7, hops=(4, 5), directed=False) == 5  # 0, 5, 1, 6, 2, 7

    def test_errors(self):
        with pytest.raises(ValueError, match=r"expected hops that can sum to 3, got \(2,\)"):
            layers_to_reach(3, hops=(2,))
        with pytest.raises(ValueError, match="expected distance to be an integer of at least 0, got -1"):
            layers_to_reach(-1)
