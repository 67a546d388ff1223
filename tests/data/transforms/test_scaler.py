import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from seqgnn.data import Scaler


def values(seed=0):
    x = 3 + 5 * torch.randn(50, 4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[..., 1] *= 100
    mask = torch.rand(50, 4, 2, generator=torch.Generator().manual_seed(seed + 1)) < 0.7
    return x, mask


@pytest.mark.parametrize("per", ["all", "node"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["standard", "max", "minmax", "none"])
def test_scaler_statistics_equal_numpy(kind, per, masked):
    x, mask = values()
    scaler = Scaler.fit(x.masked_fill(~mask, torch.nan) if masked else x, mask if masked else None, per=per, kind=kind)
    data = np.where(mask, x, np.nan) if masked else x.numpy()
    axes = (0, 1) if per == "all" else 0
    low, high = np.nanmin(data, axis=axes), np.nanmax(data, axis=axes)
    offset, scale = {
        "standard": (np.nanmean(data, axis=axes), np.nanstd(data, axis=axes)),
        "max": (0 * low, np.nanmax(np.abs(data), axis=axes)),
        "minmax": (low, high - low),
        "none": (0 * low, 0 * low + 1),
    }[kind]
    assert scaler.offset.shape == ((2,) if per == "all" else (4, 2))
    assert np.allclose(scaler.offset, offset, rtol=1e-12) and np.allclose(scaler.scale, scale, rtol=1e-12)
    scaled = scaler.transform(x)
    assert np.allclose(scaled, (x.numpy() - offset) / scale, rtol=1e-12)
    assert torch.allclose(scaler.inverse(scaled), x, rtol=1e-12)


def test_scaler_fit_of_constant_node_has_scale_one():
    x = torch.tensor([[[1.0], [10.0]], [[3.0], [10.0]]])
    scaler = Scaler.fit(x, per="node")
    assert scaler.offset.tolist() == [[2.0], [10.0]] and scaler.scale.tolist() == [
        [1.0],
        [1.0],
    ]  # the second never varies
    assert Scaler.fit(x).offset.tolist() == [6.0]
    assert (
        Scaler.fit(x[:, 1:] / 3, kind="max").scale.tolist() == Scaler.fit(x[:, 1:], kind="minmax").scale.tolist() == [1]
    )
    assert scaler.transform(torch.zeros(5, 7, 2, 1)).shape == (5, 7, 2, 1)


def test_scaler_fit_masked_node_uses_statistics_of_all():
    x, _ = values()
    mask = torch.ones(50, 4, dtype=torch.bool)
    mask[:, 2] = False
    x[:, 2] = torch.nan
    scaler, of_all = Scaler.fit(x, mask, per="node"), Scaler.fit(x, mask)
    assert torch.equal(scaler.offset[2], of_all.offset) and torch.equal(scaler.scale[2], of_all.scale)
    assert torch.equal(scaler.offset, Scaler.fit(x, mask[..., None], per="node").offset)
    with pytest.raises(ValueError, match="finite values where observed"):
        Scaler.fit(x)
    with pytest.raises(ValueError, match="every feature to be observed somewhere"):
        Scaler.fit(x, mask & False)


def test_scaler_fit_of_float32_has_float64_accuracy():
    x = 1e4 + torch.randn(100_000, 2, 1, generator=torch.Generator().manual_seed(0))
    scaler = Scaler.fit(x)
    assert scaler.scale.dtype == torch.float32
    assert scaler.scale.item() == pytest.approx(x.numpy().astype(np.float64).std(), rel=1e-6)


def test_scaler_saved_and_loaded_is_equal():
    scaler = Scaler.fit(values()[0], per="node")
    again = Scaler(**load(save(vars(scaler))))
    assert torch.equal(again.offset, scaler.offset) and torch.equal(again.scale, scaler.scale)
    assert scaler.to("cpu").offset.device.type == "cpu"


def test_scaler_invalid_arguments_raise_value_error():
    x, mask = values()
    overall, each = Scaler.fit(x), Scaler.fit(x, per="node")
    for function in (overall.transform, overall.inverse):  # a single channel would broadcast to two
        with pytest.raises(ValueError, match=r"Scaler: expected \[..., N, 2\], as it was fitted on, got \(50, 4, 1\)"):
            function(x[..., :1])
    for bad in (x[:, :1], x[..., :1], x[0, 0]):
        with pytest.raises(ValueError, match=r"Scaler: expected \[..., 4, 2\], as it was fitted on"):
            each.transform(bad)
    with pytest.raises(ValueError, match=r"\[..., N, 2\]"):
        overall.transform(x[0, 0])
    with pytest.raises(ValueError, match=r"Scaler: expected kind to be one of .*; did you mean 'minmax'"):
        Scaler.fit(x, kind="min-max")
    with pytest.raises(ValueError, match="Scaler: expected per to be one of 'all', 'node', got 'sensor'"):
        Scaler.fit(x, per="sensor")
    for bad in (x[0], x[:0], x.long()):
        with pytest.raises(ValueError, match=r"Scaler: expected floats \[T, N, F\], not empty"):
            Scaler.fit(bad)
    for bad in (mask.float(), mask[:-1], mask[..., :1].expand(-1, -1, 3), mask[:, :1]):
        with pytest.raises(
            ValueError, match=r"Scaler: expected a bool mask \[T, N\] or \[T, N, F\] for x \(50, 4, 2\)"
        ):
            Scaler.fit(x, bad)
    with pytest.raises(ValueError, match=r"both \[F\] or \[N, F\], got \(2,\) and \(1,\)"):
        Scaler(torch.zeros(2), torch.ones(1))
    with pytest.raises(ValueError, match="finite scales other than 0"):
        Scaler(torch.zeros(2), torch.zeros(2))
