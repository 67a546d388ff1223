"""Graph operators and recurrent graph layers, written from the papers a second time, slowly: dense, float64.

Nothing here comes from the library, PyG or torch.nn. `equations.md` is binding; where a paper differs, the docstring
says so. torch's autograd gives the gradients of x, states, parameters and edge weights.

Letters: T steps, B sequences, N nodes, E edges, F input features, H hidden units, G gates, K terms of a series.
A graph is `(edge_index [2, E], edge_weight [E] or None)`; column (i, j) is an edge from i to j; duplicates add up.
Operators are a list of dense [N, N] matrices P_k with y_k = P_k x. Wherever a layer takes operators, it takes None
(the identity alone), such a list, or a list of T such lists, one per step; wherever it takes a graph, a list of T
graphs will do. The basis of x is [P_0 x, P_1 x, ...] side by side, so `weight_ih` is [G*H, m*F] and `weight_hh`
[G*H, m*H] for m blocks. Parameters are dictionaries with torch.nn's names; biases may be left out.
Gates are in the order i, f, g, o (LSTM) and r, z, n (GRU; z is the papers' u).
"""

import torch

from tests.support.oracles import gcn_operator, preactivations, propagate, sigmoid


def zeros(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


def identity(num_nodes):
    return torch.eye(num_nodes, dtype=torch.float64)


def matrix(rows):
    """A dense matrix from rows of scalar tensors."""
    return torch.stack([torch.stack(row) for row in rows])


def number(scalar):
    return float(scalar.detach())


def relu(x):
    """With gradient 0 at 0."""
    return torch.where(x > 0, x, 0 * x)


# Operators


def weight_of(edge_weight, e):
    return torch.ones((), dtype=torch.float64) if edge_weight is None else edge_weight[e]


def adjacency(edge_index, edge_weight, num_nodes):
    """W [N][N] of scalars, W_ij = sum of the weights of the edges from i to j; self-loops stay as they are."""
    entries = [[zeros(()) for _ in range(num_nodes)] for _ in range(num_nodes)]
    for e in range(edge_index.shape[1]):
        source, target = int(edge_index[0, e]), int(edge_index[1, e])
        entries[source][target] = entries[source][target] + weight_of(edge_weight, e)
    return entries


def scaled_laplacian(edge_index, edge_weight, num_nodes, normalization="sym", lambda_max=None, batch=None):
    """L~ = 2 L / lambda_max - I, [N, N], as in PyG's get_laplacian and ChebConv.

    Self-loops are dropped. d_i is the sum of the weights of the edges that *leave* i, on both sides (the GCN operator
    of equations.md has in-degrees instead). An edge from j to i gives the entry L_ij (row i gathers from j):
    sym -w / sqrt(d_j d_i), 0 if a degree is 0;  rw -w / d_j, the degree of the *source*, so that not the rows but the
    columns of D^-1 A sum to one;  None -w. The diagonal is 1 (sym, rw: also for a node without edges) or d_i (None).
    lambda_max None: twice the largest entry of the graph's own list of entries, which has one per edge (duplicates
    apart, as in PyG) and one per node; this is 2 for sym and rw with positive weights, 2 max d for None. The gradient
    goes through this maximum and is shared evenly between ties, as torch's max() does.
    Every graph of a batch has a lambda_max of its own: None, one number for all, or one per graph.
    Choices: where L is zero and so is lambda_max (normalization None, no edges), L~ = -I, the value of 2 * 0 / l - I
    for any l (PyG: NaN). sym with a negative degree: ValueError (PyG: NaN).
    """
    graph_of = [0] * num_nodes if batch is None else [int(g) for g in batch]
    edges = []
    for e in range(edge_index.shape[1]):
        source, target = int(edge_index[0, e]), int(edge_index[1, e])
        if graph_of[source] != graph_of[target]:
            raise ValueError("an edge between two graphs")
        if source != target:
            edges.append((source, target, weight_of(edge_weight, e)))
    degree = [zeros(()) for _ in range(num_nodes)]
    for source, _, weight in edges:
        degree[source] = degree[source] + weight
    if normalization == "sym" and any(number(d) < 0 for d in degree):
        raise ValueError("a negative degree under a square root")

    laplacian = [[zeros(()) for _ in range(num_nodes)] for _ in range(num_nodes)]
    listed = {g: [] for g in graph_of}
    for source, target, weight in edges:
        if normalization == "sym":
            empty = number(degree[source]) == 0 or number(degree[target]) == 0
            entry = zeros(()) if empty else -weight / (degree[source] * degree[target]) ** 0.5
        elif normalization == "rw":
            entry = zeros(()) if number(degree[source]) == 0 else -weight / degree[source]
        elif normalization is None:
            entry = -weight
        else:
            raise ValueError(normalization)
        laplacian[target][source] = laplacian[target][source] + entry
        listed[graph_of[source]].append(entry)
    for i in range(num_nodes):
        laplacian[i][i] = degree[i] if normalization is None else torch.ones((), dtype=torch.float64)
        listed[graph_of[i]].append(laplacian[i][i])

    largest = {}
    for g, entries in listed.items():
        if lambda_max is None:
            largest[g] = 2 * torch.stack(entries).max()
        else:
            given = torch.as_tensor(lambda_max, dtype=torch.float64).reshape(-1)
            largest[g] = given[g] if len(given) > 1 else given[0]
    rows = []
    for i in range(num_nodes):
        scale = largest[graph_of[i]]
        row = [zeros(()) if number(scale) == 0 else 2 * entry / scale for entry in laplacian[i]]
        row[i] = row[i] - 1
        rows.append(row)
    return matrix(rows)


def chebyshev_operators(edge_index, edge_weight, num_nodes, K, normalization="sym", lambda_max=None, batch=None):
    """K blocks T_0 .. T_(K-1): T_0 = I, T_1 = L~, T_k = 2 L~ T_(k-1) - T_(k-2); see scaled_laplacian for L~."""
    scaled = scaled_laplacian(edge_index, edge_weight, num_nodes, normalization, lambda_max, batch)
    blocks = [identity(num_nodes), scaled]
    for _ in range(2, K):
        blocks.append(2 * scaled @ blocks[-1] - blocks[-2])
    return blocks[:K]


def random_walk(entries):
    """D^-1 M for M [N][N], D its row sums; a row whose sum is 0 becomes zero."""
    rows = []
    for row in entries:
        degree = sum(row)
        rows.append([zeros(()) if number(degree) == 0 else entry / degree for entry in row])
    return matrix(rows)


def random_walks(edge_index, edge_weight, num_nodes):
    """P_f = D_O^-1 W and P_b = D_I^-1 W^T. Row i of P_f gathers from i's out-neighbors. Self-loops count."""
    forward = adjacency(edge_index, edge_weight, num_nodes)
    backward = [[forward[j][i] for j in range(num_nodes)] for i in range(num_nodes)]
    return random_walk(forward), random_walk(backward)


def diffusion_operators(edge_index, edge_weight, num_nodes, K):
    """2K - 1 blocks: I, P_f^1 .. P_f^(K-1), P_b^1 .. P_b^(K-1) (Li et al. 2018, eq. 2; the two I's are one block)."""
    blocks = [identity(num_nodes)]
    for walk in random_walks(edge_index, edge_weight, num_nodes):
        power = identity(num_nodes)
        for _ in range(1, K):
            power = walk @ power
            blocks.append(power)
    return blocks


def diffusion_operators_authors(edge_index, edge_weight, num_nodes, K):
    """2K - 1 blocks of the DCRNN authors' code (dual_random_walk, max_diffusion_step = K - 1), applied to x.

    S_1 = P_f^T, S_2 = P_b^T. x0 starts as x, and for S_1, then S_2: x1 = S x0 is a block; for k = 2 .. K-1,
    x2 = 2 S x1 - x0 is a block and (x0, x1) becomes (x1, x2). x0 is not set back to x in between, so S_2 starts from
    T_(K-2)(S_1) x (from x itself for K = 2). Blocks: I; T_1(S_1) .. T_(K-1)(S_1); T_k(S_2) T_(K-2)(S_1), k = 1 .. K-1.
    K = 3: I, S_1, 2 S_1^2 - I, S_2 S_1, 2 S_2^2 S_1 - S_1. All linear in x, hence still a list of matrices.
    """
    x0 = identity(num_nodes)
    blocks = [x0]
    for walk in random_walks(edge_index, edge_weight, num_nodes):
        support = walk.T
        if K > 1:
            x1 = support @ x0
            blocks.append(x1)
        for _ in range(2, K):
            x2 = 2 * support @ x1 - x0
            blocks.append(x2)
            x0, x1 = x1, x2
    return blocks


def built(graphs, build):
    """build(edge_index, edge_weight) of a graph, or of each of a list of T graphs."""
    return [build(*graph) for graph in graphs] if isinstance(graphs, list) else build(*graphs)


def at_step(operators, t):
    """The blocks of step t: operators are None, a list of matrices, or a list with one of these per step."""
    if operators is None or isinstance(operators[0], torch.Tensor):
        return operators
    return operators[t]


# Convolutions


def basis(x, operators):
    """[P_0 x, P_1 x, ...] side by side, x [N, F] -> [N, m*F]; x itself for operators None."""
    return x if operators is None else torch.cat([propagate(block, x) for block in operators], dim=1)


def cheb_conv(x, operators, weights, bias=None):
    """y = sum_k P_k x weights[k]^T + bias; x [N, F], weights [m, C, F] (or a list), bias [C] -> [N, C]."""
    nodes = [zeros(weights[0].shape[0]) for _ in range(len(x))]
    for block, weight in zip(operators, weights, strict=True):
        taken = propagate(block, x)
        nodes = [nodes[n] + weight @ taken[n] for n in range(len(x))]
    return torch.stack(nodes if bias is None else [node + bias for node in nodes])


def diffusion_conv(x, operators, weights, bias=None):
    """Li et al. 2018, eq. 2, with 2K - 1 weights [C, F] in the order of diffusion_operators.

    The paper has theta_(0,1) and theta_(0,2), both on x itself: here their sum is one weight. No activation.
    """
    return cheb_conv(x, operators, weights, bias)


# Cells: one step, x [N, F], state a tuple of [N, H]


def rnn_step(p, suffix, x, state, ops_x, ops_h, nonlinearity="tanh"):
    (h,) = state
    g = preactivations("ih", p, suffix, basis(x, ops_x), h.shape[1])
    u = preactivations("hh", p, suffix, basis(h, ops_h), h.shape[1])
    new = []
    for n in range(len(x)):
        total = g[n][0] + u[n][0]
        new.append(torch.tanh(total) if nonlinearity == "tanh" else relu(total))
    return (torch.stack(new),)


def lstm_step(p, suffix, x, state, ops_x, ops_h, memory=None):
    """memory, if given, stands where c_(t-1) is kept by the forget gate (GC-LSTM convolves it)."""
    h, c = state
    memory = c if memory is None else memory
    g = preactivations("ih", p, suffix, basis(x, ops_x), h.shape[1])
    u = preactivations("hh", p, suffix, basis(h, ops_h), h.shape[1])
    peephole = {gate: p.get(f"weight_c{gate}{suffix}", zeros(h.shape[1])) for gate in "ifo"}
    new_h, new_c = [], []
    for n in range(len(x)):
        gate_i = sigmoid(g[n][0] + u[n][0] + peephole["i"] * c[n])
        gate_f = sigmoid(g[n][1] + u[n][1] + peephole["f"] * c[n])
        content = torch.tanh(g[n][2] + u[n][2])
        cell = gate_f * memory[n] + gate_i * content
        gate_o = sigmoid(g[n][3] + u[n][3] + peephole["o"] * cell)
        new_h.append(gate_o * torch.tanh(cell))
        new_c.append(cell)
    return torch.stack(new_h), torch.stack(new_c)


def gru_step(p, suffix, x, state, ops_x, ops_h, reset="after"):
    (h,) = state
    g = preactivations("ih", p, suffix, basis(x, ops_x), h.shape[1])
    u = preactivations("hh", p, suffix, basis(h, ops_h), h.shape[1])
    r = torch.stack([sigmoid(g[n][0] + u[n][0]) for n in range(len(x))])
    z = torch.stack([sigmoid(g[n][1] + u[n][1]) for n in range(len(x))])
    if reset == "before":
        again = preactivations("hh", p, suffix, basis(r * h, ops_h), h.shape[1])
        content = [torch.tanh(g[n][2] + again[n][2]) for n in range(len(x))]
    elif reset == "after":
        content = [torch.tanh(g[n][2] + r[n] * u[n][2]) for n in range(len(x))]
    else:
        raise ValueError(reset)
    return (torch.stack([(1 - z[n]) * content[n] + z[n] * h[n] for n in range(len(x))]),)


def mingru_step(p, suffix, x, state, ops_x, ops_h):
    """Feng et al. 2024, section 3.1: z first, then the candidate; no gate sees h, so ops_h is not used."""
    (h,) = state
    g = preactivations("ih", p, suffix, basis(x, ops_x), h.shape[1])
    return (torch.stack([(1 - sigmoid(g[n][0])) * h[n] + sigmoid(g[n][0]) * g[n][1] for n in range(len(x))]),)


def minlstm_step(p, suffix, x, state, ops_x, ops_h):
    """Feng et al. 2024, section 3.2: f, i, then the candidate; no gate sees h, so ops_h is not used."""
    (h,) = state
    g = preactivations("ih", p, suffix, basis(x, ops_x), h.shape[1])
    new = []
    for n in range(len(x)):
        gate_f, gate_i = sigmoid(g[n][0]), sigmoid(g[n][1])
        new.append((gate_f * h[n] + gate_i * g[n][2]) / (gate_f + gate_i))
    return (torch.stack(new),)


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step, "mingru": mingru_step, "minlstm": minlstm_step}


# Sequences, layers, directions, lengths


def zero_state(cell, p, suffix, num_nodes):
    gates = {"rnn": 1, "lstm": 4, "gru": 3, "mingru": 2, "minlstm": 3}[cell]
    hidden = p[f"weight_ih{suffix}"].shape[0] // gates
    return tuple(zeros(num_nodes, hidden) for _ in range(2 if cell == "lstm" else 1))


def sequence(cell, p, x, ops_x, ops_h, state, reverse, suffix, length, options):
    """One layer, one direction: x [T, N, F] -> outputs [T, N, H], last state. Steps from length on are not seen."""
    state = zero_state(cell, p, suffix, x.shape[1]) if state is None else state
    outputs = [torch.zeros_like(state[0]) for _ in range(len(x))]
    steps = range(len(x) if length is None else int(length))
    for t in reversed(steps) if reverse else steps:
        state = STEPS[cell](p, suffix, x[t], state, at_step(ops_x, t), at_step(ops_h, t), **options)
        outputs[t] = state[0]
    return torch.stack(outputs), state


def graph_rnn(p, x, ops_x=None, ops_h=None, state=None, reverse=False, suffix="_l0", length=None, nonlinearity="tanh"):
    """h_t = tanh(W_ih basis(x_t) + b_ih + W_hh basis(h_(t-1)) + b_hh), or relu. -> outputs [T, N, H], (h [N, H],).

    p: weight_ih [H, m_x*F], weight_hh [H, m_h*H], bias_ih, bias_hh [H], each name followed by the suffix.
    reverse runs from the last step to the first; output t still belongs to x_t.
    """
    return sequence("rnn", p, x, ops_x, ops_h, state, reverse, suffix, length, {"nonlinearity": nonlinearity})


def graph_lstm(p, x, ops_x=None, ops_h=None, state=None, reverse=False, suffix="_l0", length=None):
    """The LSTM of equations.md. -> outputs [T, N, H], (h, c).

    p: weight_ih [4H, m_x*F], weight_hh [4H, m_h*H], bias_ih, bias_hh [4H]; peepholes, if there: weight_ci, weight_cf
    (on c_(t-1)) and weight_co (on c_t), [H], shared by all nodes. Each name followed by the suffix.
    """
    return sequence("lstm", p, x, ops_x, ops_h, state, reverse, suffix, length, {})


def graph_gru(p, x, ops_x=None, ops_h=None, state=None, reverse=False, suffix="_l0", length=None, reset="after"):
    """h = (1 - z) n + z h; n = tanh(g_n + r u_n(h)) (after) or tanh(g_n + u_n(r h)) (before). -> outputs, (h,).

    p: weight_ih [3H, m_x*F], weight_hh [3H, m_h*H], bias_ih, bias_hh [3H]. u_n includes b_hh's part of n: r
    multiplies it with reset="after", not with "before". In u_n(r h) every neighbor is reset by its own r.
    """
    return sequence("gru", p, x, ops_x, ops_h, state, reverse, suffix, length, {"reset": reset})


def stacked(cell, p, x, ops_x=None, ops_h=None, num_layers=1, bidirectional=False, lengths=None, state=None, **options):
    """Layers and directions as in torch.nn: names with _l{k} and _l{k}_reverse, slots layer by layer.

    x [T, N, F] (lengths: one number or None) or [T, B, N, F] (lengths [B]); state, and the final one: a tuple of
    [layers*directions, (B,) N, H]. After a sequence's own end its outputs are zero and its state stays; the backward
    direction starts at that end. Every layer has the same operators. Options: nonlinearity, reset.
    """
    if x.dim() == 4:
        runs = []
        for b in range(x.shape[1]):
            length = None if lengths is None else lengths[b]
            start = None if state is None else tuple(part[:, b] for part in state)
            runs.append(stacked(cell, p, x[:, b], ops_x, ops_h, num_layers, bidirectional, length, start, **options))
        final = tuple(torch.stack(parts, dim=1) for parts in zip(*[run[1] for run in runs]))
        return torch.stack([run[0] for run in runs], dim=1), final
    finals = []
    for layer in range(num_layers):
        outputs = []
        for reverse in (False, True) if bidirectional else (False,):
            suffix = f"_l{layer}_reverse" if reverse else f"_l{layer}"
            start = None if state is None else tuple(part[len(finals)] for part in state)
            output, final = sequence(cell, p, x, ops_x, ops_h, start, reverse, suffix, lengths, options)
            outputs.append(output)
            finals.append(final)
        x = torch.cat(outputs, dim=-1)
    return x, tuple(torch.stack(parts) for parts in zip(*finals))


def each_sequence(layer, p, x, *arguments, state=None, **options):
    """A layer for x [T, N, F] run on each sequence of x [T, B, N, F]; state a tuple of [B, N, H], and so the final."""
    runs = []
    for b in range(x.shape[1]):
        start = None if state is None else tuple(part[b] for part in state)
        runs.append(layer(p, x[:, b], *arguments, state=start, **options))
    final = tuple(torch.stack(parts) for parts in zip(*[run[1] for run in runs]))
    return torch.stack([run[0] for run in runs], dim=1), final


# Layers of the papers


def gcrn(
    p, x, graph, K, model=2, cell="lstm", peephole=True, normalization="sym", lambda_max=None, batch=None, **options
):
    """GCRN (Seo et al. 2016), Chebyshev(K). x [T, (B,) N, F] -> outputs [T, (B,) N, H], states as in `stacked`.

    model 1: x'_t = sum_k T_k x_t weight_conv[k]^T + bias_conv, then the plain cell at each node. p: weight_conv
    [K, C, F], bias_conv [C] (optional), weight_ih_l0 [G*H, C], weight_hh_l0 [G*H, H], biases, peepholes.
    model 2: the convolution in every gate, of x and of h. p: weight_ih_l0 [G*H, K*F], weight_hh_l0 [G*H, K*H], ...
    peephole (LSTM): weight_ci_l0, weight_cf_l0, weight_co_l0 [H]; the paper has them per node, [N, H].
    Choices: no activation or pooling in model 1's convolution (the paper's CNN_G leaves it open); with num_layers > 1
    model 1 convolves x only, before the first layer; cell="gru" resets before (options: reset), in both models.
    """
    if cell != "lstm" and peephole:
        raise ValueError("peepholes belong to the LSTM")
    if cell == "lstm" and peephole != ("weight_ci_l0" in p):
        raise ValueError("peephole and the parameters disagree")
    if cell == "gru":
        options.setdefault("reset", "before")
    num_nodes = x.shape[-2]
    blocks = built(graph, lambda e, w: chebyshev_operators(e, w, num_nodes, K, normalization, lambda_max, batch))
    if model == 2:
        return stacked(cell, p, x, blocks, blocks, **options)

    def convolve(x_t, t):
        if x_t.dim() == 3:
            return torch.stack([convolve(x_b, t) for x_b in x_t])
        return cheb_conv(x_t, at_step(blocks, t), p["weight_conv"], p.get("bias_conv"))

    return stacked(cell, p, torch.stack([convolve(x[t], t) for t in range(len(x))]), **options)


def diffusion_blocks(graph, num_nodes, K, variant):
    build = {"paper": diffusion_operators, "authors": diffusion_operators_authors}[variant]
    return built(graph, lambda e, w: build(e, w, num_nodes, K))


def dcrnn(p, x, graph, K, variant="paper", **options):
    """DCRNN (Li et al. 2018, section 2.3): GRU, reset before, Diffusion(K). Shapes as in `stacked`.

    p: weight_ih_l0 [3H, (2K-1)*F], weight_hh_l0 [3H, (2K-1)*H], bias_ih_l0, bias_hh_l0 [3H]. The paper's one filter
    of [X, H] is split into one of X and one of H; its one bias is b_ih + b_hh. variant="authors": their operators.
    """
    blocks = diffusion_blocks(graph, x.shape[-2], K, variant)
    options.setdefault("reset", "before")
    return stacked("gru", p, x, blocks, blocks, **options)


def dcrnn_forecaster(
    p, x, graph, K, horizon, variant="paper", num_layers=1, truth=None, take_truth=None, future_graph=None
):
    """Encoder over x [T, (B,) N, F], decoder of `horizon` steps -> forecasts [horizon, (B,) N, O].

    The decoder's layers start from the encoder's final states; its first input is zero (GO). Each step's top h goes
    through one linear map, y = W h + b, and y is the next input. Scheduled sampling: where take_truth[s] (a list of
    `horizon` booleans), step s > 0 is fed truth[s-1] ([horizon, (B,) N, O]) instead of y_(s-1); take_truth[0] is
    ignored, step 0 always gets GO; one boolean holds for all sequences, as in the authors' code.
    p: encoder.weight_ih_l{k}, encoder.weight_hh_l{k}, ..., decoder.weight_ih_l{k} (input size O at l0), ...,
    projection.weight [O, H], projection.bias [O] (the authors have none). future_graph: the decoder's graph(s).
    """
    encoder = {name.removeprefix("encoder."): v for name, v in p.items() if name.startswith("encoder.")}
    decoder = {name.removeprefix("decoder."): v for name, v in p.items() if name.startswith("decoder.")}
    if isinstance(graph, list) and future_graph is None:
        raise ValueError("with a graph per step the decoder needs graphs of its own")
    future = graph if future_graph is None else future_graph
    _, state = dcrnn(encoder, x, graph, K, variant, num_layers=num_layers)
    blocks = diffusion_blocks(future, x.shape[-2], K, variant)
    weight, bias = p["projection.weight"], p.get("projection.bias")
    forecasts = []
    fed = zeros(*x.shape[1:-1], weight.shape[0])
    for s in range(horizon):
        now = at_step(blocks, s)
        output, state = stacked("gru", decoder, fed[None], now, now, num_layers, state=state, reset="before")
        forecast = output[0] @ weight.T if bias is None else output[0] @ weight.T + bias
        forecasts.append(forecast)
        fed = truth[s] if take_truth is not None and s + 1 < horizon and take_truth[s + 1] else forecast
    return torch.stack(forecasts)


def tgcn(p, x, graph, variant="paper", normalization="sym", improved=False, state=None):
    """T-GCN (Zhao et al. 2019), x [T, N, F] -> outputs [T, N, H], (h [N, H],). A^ is the GCN operator of equations.md.

    paper: f_t = sigm(A^ relu(A^ x_t W_0) W_1), no biases; u, r = sigm(W [f, h] + b), c = tanh(W_c [f, r h] + b_c),
      h = u h + (1 - u) c. p: weight_0 [C, F], weight_1 [D, C] (the paper's transposed), and a GRU (r, z = u, n = c) of
      f: weight_ih_l0 [3H, D], weight_hh_l0 [3H, H], bias_ih_l0 (bias_hh_l0).
    authors: gates sigm(A^ [x, h] W + b), c = tanh(A^ [x, r h] W_c + b_c): one graph convolution of x and h together.
      p: weight_ih_l0 [3H, F], weight_hh_l0 [3H, H], bias_ih_l0 (r and z start at 1), bias_hh_l0. Not copied from their
      code: it cuts sigm(..) [B, N*2H] in the middle of the nodes, so r is of the first N/2 nodes and u of the others.
    pyg-temporal: for q in z, r, h: v_q = A^ x conv_q^T + b, gate q = linear_q [v_q, h] (r h for the candidate h), and
      h = z h + (1 - z) tanh(..). p: conv_q.lin.weight [H, F], conv_q.bias [H], linear_q.weight [H, 2H], linear_q.bias.
    """
    num_nodes = x.shape[1]
    blocks = built(graph, lambda e, w: [gcn_operator(e, w, num_nodes, normalization, improved)])
    if variant == "authors":
        return graph_gru(p, x, blocks, blocks, state, reset="before")
    if variant == "paper":
        signals = []
        for t in range(len(x)):
            inner = cheb_conv(x[t], at_step(blocks, t), [p["weight_0"]])
            signals.append(sigmoid(cheb_conv(relu(inner), at_step(blocks, t), [p["weight_1"]])))
        return graph_gru(p, torch.stack(signals), None, None, state, reset="before")
    if variant != "pyg-temporal":
        raise ValueError(variant)
    h = zeros(num_nodes, p["linear_z.weight"].shape[0]) if state is None else state[0]
    outputs = []
    for t in range(len(x)):
        seen = {}
        for q in "zrh":
            seen[q] = cheb_conv(x[t], at_step(blocks, t), [p[f"conv_{q}.lin.weight"]], p[f"conv_{q}.bias"])
        new = []
        for n in range(num_nodes):
            z = sigmoid(p["linear_z.weight"] @ torch.cat([seen["z"][n], h[n]]) + p["linear_z.bias"])
            r = sigmoid(p["linear_r.weight"] @ torch.cat([seen["r"][n], h[n]]) + p["linear_r.bias"])
            content = torch.tanh(p["linear_h.weight"] @ torch.cat([seen["h"][n], r * h[n]]) + p["linear_h.bias"])
            new.append(z * h[n] + (1 - z) * content)
        h = torch.stack(new)
        outputs.append(h)
    return torch.stack(outputs), (h,)


def gclstm(p, x, graph, K, variant="paper", normalization="sym", lambda_max=None, state=None):
    """GC-LSTM (Chen et al. 2018), x [T, N, F] -> outputs [T, N, H], (h, c). Plain weights on x, Chebyshev(K) on h.

    paper: the forget gate keeps a convolution of c_(t-1), c_t = f (sum_k T_k c_(t-1) weight_c_k^T + bias_c) + i g;
    pyg-temporal: c_(t-1) itself. No peepholes.
    p: weight_ih_l0 [4H, F], weight_hh_l0 [4H, K*H], bias_ih_l0, bias_hh_l0 [4H]; paper: weight_cc_l0 [H, K*H] (blocks
    side by side), bias_cc_l0 [H] (optional).
    Choices: with a graph per step h_(t-1) and c_(t-1) meet the graph of step t, as everywhere in equations.md (the
    paper: of t-1; shift the list to get that); one convolution for c, with its own weights; no activation on it.
    """
    num_nodes = x.shape[1]
    blocks = built(graph, lambda e, w: chebyshev_operators(e, w, num_nodes, K, normalization, lambda_max))
    state = zero_state("lstm", p, "_l0", num_nodes) if state is None else state
    outputs = []
    for t in range(len(x)):
        now, memory = at_step(blocks, t), None
        if variant == "paper":
            weights = torch.chunk(p["weight_cc_l0"], K, dim=1)
            memory = cheb_conv(state[1], now, weights, p.get("bias_cc_l0"))
        elif variant != "pyg-temporal":
            raise ValueError(variant)
        state = lstm_step(p, "_l0", x[t], state, None, now, memory)
        outputs.append(state[0])
    return torch.stack(outputs), state


def top_summary(x, p, k, short="error"):
    """Z [k, F] of x [N, F]: y = x p / |p|; the k largest y, largest first, ties by the lower index; rows x_i tanh(y_i).

    The gradient reaches p and x through tanh(y) and x, not through the choice. short: what to do if N < k; "error", or
    "repeat" the last chosen node (the authors' code). The paper does not say.
    """
    score = [(row @ p) / (p @ p) ** 0.5 for row in x]
    order = sorted(range(len(x)), key=lambda n: (-number(score[n]), n))[:k]
    if len(order) < k:
        if short != "repeat":
            raise ValueError("fewer nodes than columns of W")
        order = order + [order[-1]] * (k - len(order))
    return torch.stack([x[n] * torch.tanh(score[n]) for n in order])


def evolve_gcn(p, x, graph, variant="O", reset="before", short="error", normalization="sym"):
    """EvolveGCN (Pareja et al. 2020), one layer: outputs_t = relu(A^_t x_t W_t), W_t first evolved, then used.

    x [T, N, F], or a list of [N_t, F] -> outputs [T, N, C] (a list if N_t differ), weights [T, F, C] = W_1 .. W_T.
    The C columns of W are the batch of the recurrent cell, F its input and hidden size.
    O: W_t = LSTM(W_(t-1)), input and hidden state both W_(t-1); the cell state [F, C] starts at zero (the paper is
      silent) and is carried from step to step.
    H: W_t = GRU(Z_t^T, W_(t-1)), Z_t [C, F] = top_summary(x_t, p, k=C): the j-th best node is the input of column j.
    p: weight_0 [F, C] (W_0), weight_ih [G*F, F], weight_hh [G*F, F], bias_ih, bias_hh [G*F] or, as in the paper, one
    per column: [G*F, C]; H also p [F].
    Choices: H's reset="before" is the paper's; z keeps (equations.md; the paper's z lets in: negate its weights); relu
    at every layer. The authors' code for O has H's GRU with Z = W_(t-1) instead of an LSTM; equations.md wins.
    """
    weight = p["weight_0"]
    memory = torch.zeros_like(weight)
    outputs, weights = [], []
    for t in range(len(x)):
        num_nodes, columns = len(x[t]), weight.shape[1]
        fed = weight if variant == "O" else top_summary(x[t], p["p"], columns, short).T
        new, kept = [], []
        for j in range(columns):
            cell = {name: v[:, j] if v.dim() == 2 and "bias" in name else v for name, v in p.items()}
            if variant == "O":
                h, c = lstm_step(cell, "", fed[None, :, j], (weight[None, :, j], memory[None, :, j]), None, None)
                kept.append(c[0])
            else:
                (h,) = gru_step(cell, "", fed[None, :, j], (weight[None, :, j],), None, None, reset)
            new.append(h[0])
        weight = torch.stack(new, dim=1)
        memory = torch.stack(kept, dim=1) if kept else memory
        edge_index, edge_weight = graph[t] if isinstance(graph, list) else graph
        operator = gcn_operator(edge_index, edge_weight, num_nodes, normalization)
        outputs.append(relu(cheb_conv(x[t], [operator], [weight.T])))
        weights.append(weight)
    alike = all(output.shape == outputs[0].shape for output in outputs)
    return torch.stack(outputs) if alike else outputs, torch.stack(weights)


def a3tgcn(p, x, graph, variant="paper", normalization="sym", state=None):
    """A3T-GCN (Bai et al. 2021), x [T, N, F] -> context [N, H], attention [T, N], T-GCN's states [T, N, H].

    h_1 .. h_T: T-GCN's, h carried. e_t = w_2 (W_1 h_t + b_1) + b_2, a = softmax over t of e, context = sum_t a_t h_t.
    p: T-GCN's of that variant, and attention.weight_1 [A, H], attention.bias_1 [A], attention.weight_2 [1, A],
    attention.bias_2 [1]. b_2 shifts all e_t alike and changes nothing.
    Choices: e is per node, so that permuting the nodes or batching changes nothing (the authors' w_1 is H -> 1 and w_2
    N -> 1, one e_t for all nodes); no activation between the two maps (the paper has none).
    """
    states, _ = tgcn(p, x, graph, variant, normalization, state=state)
    steps, num_nodes = states.shape[:2]
    context, attention = [], []
    for n in range(num_nodes):
        scores = []
        for t in range(steps):
            inner = p["attention.weight_1"] @ states[t, n] + p["attention.bias_1"]
            scores.append((p["attention.weight_2"] @ inner + p["attention.bias_2"])[0])
        powers = [torch.exp(score - max(scores).detach()) for score in scores]
        shares = [power / sum(powers) for power in powers]
        context.append(sum(shares[t] * states[t, n] for t in range(steps)))
        attention.append(torch.stack(shares))
    return torch.stack(context), torch.stack(attention, dim=1), states


# Graphs instead of time


def predecessors(edge_index, num_nodes):
    """For each node the sources of its edges (twice if the edge is there twice), and a topological order."""
    before = [[] for _ in range(num_nodes)]
    for e in range(edge_index.shape[1]):
        before[int(edge_index[1, e])].append(int(edge_index[0, e]))
    order = []
    while len(order) < num_nodes:
        ready = [n for n in range(num_nodes) if n not in order and all(b in order for b in before[n])]
        if not ready:
            raise ValueError("a cycle")
        order.append(ready[0])
    return before, order


def dag_recurrent(cell, p, x, edge_index, suffix="", **options):
    """A recurrent cell along a DAG, x [N, F]: at node j one step from the sum of its predecessors' states.

    -> (h [N, H],), for the LSTM (h, c); c is summed as h is. p: weight_ih [G*H, F], weight_hh [G*H, H], bias_ih,
    bias_hh [G*H], torch.nn's equations (options: reset, nonlinearity). A node without predecessors starts from zero.
    Choices: a doubled edge counts twice; edges have no weights; a cycle or self-loop is a ValueError.
    """
    before, order = predecessors(edge_index, len(x))
    states = [None] * len(x)
    for j in order:
        state = zero_state(cell, p, suffix, 1)
        for i in before[j]:
            state = tuple(total + part for total, part in zip(state, states[i]))
        states[j] = STEPS[cell](p, suffix, x[j][None], state, None, None, **options)
    return tuple(torch.cat(parts) for parts in zip(*states))


def child_sum_tree_lstm(p, x, edge_index, suffix=""):
    """Child-sum Tree-LSTM (Tai et al. 2015, eqs. 2 to 8), edges child -> parent, x [N, F] -> (h, c), [N, H] each.

    h~_j = sum of the children's h; i, o, g (their u) from W x_j + U h~_j + b; one forget gate for each child k,
    f_jk = sigm(W_f x_j + U_f h_k + b_f); c_j = i g + sum_k f_jk c_k; h_j = o tanh(c_j). x_j enters at inner nodes too.
    p: weight_ih [4H, F] (W), weight_hh [4H, H] (U), bias_ih, bias_hh [4H], gates i, f, g, o; the paper's b is
    b_ih + b_hh. Choices: any DAG will do (a node's state goes to each parent); a doubled edge is two children.
    """
    before, order = predecessors(edge_index, len(x))
    hidden = p[f"weight_hh{suffix}"].shape[1]
    h, c = [None] * len(x), [None] * len(x)
    for j in order:
        total = zeros(hidden)
        for k in before[j]:
            total = total + h[k]
        (w,) = preactivations("ih", p, suffix, [x[j]], hidden)
        (u,) = preactivations("hh", p, suffix, [total], hidden)
        cell = sigmoid(w[0] + u[0]) * torch.tanh(w[2] + u[2])
        for k in before[j]:
            (u_k,) = preactivations("hh", p, suffix, [h[k]], hidden)
            cell = cell + sigmoid(w[1] + u_k[1]) * c[k]
        c[j] = cell
        h[j] = sigmoid(w[3] + u[3]) * torch.tanh(cell)
    return torch.stack(h), torch.stack(c)
