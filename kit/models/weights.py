"""A net starts from the tensors of a file: what matched, what did not, and what had another shape."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from timm.models import adapt_input_conv
from torch import Tensor, nn

from kit.models.weight_files import read_tensors, sha256

PREFIXES = ("module.", "model.", "backbone.", "encoder.", "_orig_mod.")
MAX_CLASSIFIER_TENSORS = 2  # a file matched by order may end in a classifier's weight and bias
SHOWN = 3  # names that the printed line gives of each list


@dataclass(frozen=True)
class Loaded:
    """What a net took from a file. Counts and lists leave out batch norms' counters of batches.

    matched, total: tensors of the net that the file gave, and all there are.
    missing: the net's tensors that the file lacks. reshaped: those it has in another shape, as "name (file's) for
    (net's)". unused: the file's tensors that the net has no place for, such as a classifier.
    adapted: convolutions whose input channels were summed or repeated by timm's rule.
    by_order: names did not match; the tensors did, in order, name ending and shape.
    """

    path: str
    sha256: str
    matched: int
    total: int
    missing: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    by_order: bool = False

    @property
    def line(self) -> str:
        """One printed line."""
        parts = [f"{self.matched} of {self.total} tensors from {self.path} (sha256 {self.sha256[:12]})"]
        parts += ["matched by their order, names differ"] if self.by_order else []
        parts += [f"{len(self.missing)} missing ({_some(self.missing)})"] if self.missing else []
        parts += [f"{len(self.reshaped)} of another shape ({_some(self.reshaped)})"] if self.reshaped else []
        parts += [f"{len(self.unused)} unused ({_some(self.unused)})"] if self.unused else []
        parts += [f"input channels adapted ({_some(self.adapted)})"] if self.adapted else []
        return "weights: " + "; ".join(parts)


def start_timm(net: nn.Module, path: Path, in_chans: int, tensors: dict[str, Tensor] | None = None) -> Loaded:
    """Give a timm net, before it is cut, the tensors of a file of timm's, or of the same net from elsewhere.

    Names may have the prefixes module., model., backbone., encoder. and _orig_mod.; timm's own filter of the family
    renames and resizes. Where under half match so, the file's tensors in order may be the net's. in_chans: the net's
    input channels, to which the file's first convolution is adapted. Raises ValueError where under half match.
    """
    tensors = read_tensors(path) if tensors is None else tensors
    own, plain = _countable(net), strip_prefixes(tensors)
    readings = [plain, tensors, *_filtered(plain, net)]
    chosen = max(readings, key=lambda reading: _n_matched(own, reading))  # of equals the first
    ordered = in_order(own, tensors) if 2 * _n_matched(own, chosen) < len(own) else None
    chosen = chosen if ordered is None else ordered
    chosen, adapted = adapt_channels(chosen, own, net, in_chans)
    return fill(net, chosen, path, adapted=adapted, by_order=ordered is not None)


def start_stages(stages: Mapping[str, nn.Module], path: Path, tensors: dict[str, Tensor] | None = None) -> Loaded:
    """Give stages the tensors of a run's best.pt, stage by stage. Raises ValueError where under half match."""
    tensors = strip_prefixes(read_tensors(path) if tensors is None else tensors)
    own = {name.removeprefix("stages."): tensor for name, tensor in tensors.items() if name.startswith("stages.")}
    return fill(nn.ModuleDict(dict(stages)), own, path)


def start_net(net: nn.Module, path: Path) -> Loaded:
    """Give a whole Net the tensors of a run's best.pt, stages, pooling and head, where name and shape are the same.

    A head for other classes starts anew. Raises ValueError where under half match.
    """
    return fill(net, strip_prefixes(read_tensors(path)), path)


def holds_stages(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are a Net's own, a run's best.pt."""
    return any(name.startswith("stages.stem.") for name in strip_prefixes(tensors))


def fill(net: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, adapted=(), by_order: bool = False) -> Loaded:
    """Copy the tensors into the net where name and shape are the same. Raises ValueError where under half are."""
    own = _countable(net)
    loaded = Loaded(
        str(path),
        sha256(path),
        _n_matched(own, tensors),
        len(own),
        missing=tuple(name for name in own if name not in tensors),
        reshaped=tuple(
            f"{name} {tuple(tensors[name].shape)} for {tuple(tensor.shape)}"
            for name, tensor in own.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ),
        unused=tuple(name for name in tensors if name not in own and not _is_counter(name)),
        adapted=tuple(adapted),
        by_order=by_order,
    )
    if 2 * loaded.matched < loaded.total:
        raise ValueError(f"weights must match at least half of the net's tensors, got {loaded.line}")
    fitting = net.state_dict()
    fitting = {n: t for n, t in tensors.items() if n in fitting and t.shape == fitting[n].shape}
    net.load_state_dict(fitting, strict=False)
    return loaded


def strip_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without leading module., model., backbone., encoder., _orig_mod.; of names that become one the first."""
    stripped: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        while name.startswith(PREFIXES):
            name = name.partition(".")[2]
        stripped.setdefault(name, tensor)
    return stripped


def in_order(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The file's tensors under the net's names, or None where they are not the net's in order.

    Each must have the same shape, but for a convolution's input channels of the first, and the same last word of its
    name (weight, bias, running_mean …); a classifier's weight and bias may follow.
    """
    given = [(name, tensor) for name, tensor in tensors.items() if not _is_counter(name)]
    if not 0 <= len(given) - len(own) <= MAX_CLASSIFIER_TENSORS:
        return None
    pairs = list(zip(own.items(), given, strict=False))
    for number, ((name, tensor), (given_name, given_tensor)) in enumerate(pairs):
        same = tensor.shape == given_tensor.shape or (number == 0 and _differ_in_channels(tensor, given_tensor))
        if not same or name.rpartition(".")[2] != given_name.rpartition(".")[2]:
            return None
    return {name: given_tensor for (name, _), (_, given_tensor) in pairs} | dict(given[len(own) :])


def adapt_channels(
    tensors: dict[str, Tensor], own: Mapping[str, Tensor], net: nn.Module, in_chans: int
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors with the first convolution's kernels for in_chans, and what was changed.

    timm's rule: to one channel their sum, which is to feed three copies; else repeated, over in_chans / 3.
    """
    cfg = net.pretrained_cfg
    convolutions = cfg.get("first_conv") or ()
    convolutions = (convolutions,) if isinstance(convolutions, str) else convolutions
    file_chans = (cfg.get("input_size") or (3,))[0]
    adapted = []
    for name in (f"{convolution}.weight" for convolution in convolutions):
        if name in tensors and name in own and _differ_in_channels(own[name], tensors[name]):
            tensors = tensors | {name: adapt_input_conv(in_chans, tensors[name], base_chans=file_chans)}
            adapted.append(name)
    return tensors, adapted


def _filtered(tensors: dict[str, Tensor], net: nn.Module) -> list[dict[str, Tensor]]:
    """What the family's own filter in timm makes of the tensors, if it has one that understands them."""
    module = inspect.getmodule(type(net))
    keep = getattr(module, "checkpoint_filter_fn", None)
    if keep is None:
        return []
    try:
        return [keep(dict(tensors), net)]
    except (KeyError, AttributeError, IndexError, RuntimeError, AssertionError):  # made for this family's files alone
        return []


def _countable(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in net.state_dict().items() if not _is_counter(name)}


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _n_matched(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> int:
    return sum(name in tensors and tensors[name].shape == tensor.shape for name, tensor in own.items())


def _differ_in_channels(own: Tensor, given: Tensor) -> bool:
    """Whether two convolutions' weights (out, in, height, width) differ in input channels alone."""
    alike = own.dim() == given.dim() == 4 and own.shape[0] == given.shape[0] and own.shape[2:] == given.shape[2:]
    return alike and own.shape[1] != given.shape[1]


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
