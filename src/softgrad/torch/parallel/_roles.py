"""What each dimension of a mesh shares out: the classes, some rows, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from torch.distributed.tensor import DTensor, Replicate, Shard

from softgrad.torch.parallel._local_parts import Layout, to_local, to_whole, without_partial

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Placement

    from softgrad.torch.parallel._local_parts import Placements


class Roles(NamedTuple):
    """The dimensions of a mesh that share out rows or classes; ranks along the others have the same tensors."""

    mesh: DeviceMesh
    rows: dict[int, int]  # dimension of the mesh: the dimension of the losses that it shards
    classes: int | None  # dimension of the mesh

    @classmethod
    def of_logits(cls, logits: DTensor, dim: int) -> Roles:
        """The roles that the placements of logits imply, whose classes are dimension `dim`."""
        shards = _sharded_dims(logits, "input")
        rows = {i: shard - (shard > dim) for i, shard in shards.items() if shard != dim}
        return cls(logits.device_mesh, rows, _class_mesh_dim(shards, dim, logits, "input"))

    @classmethod
    def of_head(cls, x: DTensor, W: DTensor) -> Roles:
        """The roles that the placements of features and coefficients imply.

        Where the coefficients are sharded by classes, rows are not: sequence-parallel features are gathered.
        """
        x_shards, W_shards = _sharded_dims(x, "input"), _sharded_dims(W, "linear_weight")
        if x.ndim - 1 in x_shards.values():
            _reject_placements(x, "input", "its last dimension, of features, whole")
        if 1 in W_shards.values():
            _reject_placements(W, "linear_weight", "Shard(0), of classes, or Replicate()")
        classes = _class_mesh_dim(W_shards, 0, W, "linear_weight")
        rows = {i: dim for i, dim in x_shards.items() if i != classes}
        return cls(x.device_mesh, rows, classes)

    @property
    def replicated(self) -> Placements:
        """The placements of a tensor that all ranks have whole."""
        return (Replicate(),) * self.mesh.ndim

    def of_classes(self) -> Placements:
        """The placements of a tensor whose first dimension is the classes, without rows."""
        return tuple(Shard(0) if i == self.classes else Replicate() for i in range(self.mesh.ndim))

    def of_rows(self, class_dim: int | None = None) -> Placements:
        """The placements of a tensor of rows, with the classes in a dimension, or without classes."""
        places: list[Placement] = list(self.replicated)
        for i, row in self.rows.items():
            places[i] = Shard(row + (class_dim is not None and row >= class_dim))
        if self.classes is not None and class_dim is not None:
            places[self.classes] = Shard(class_dim)
        return tuple(places)

    def shard(self, classes: int) -> tuple[str, int, int]:
        """The group that shares the classes, the first class of this rank, and the number of classes.

        DTensor shards a dimension as torch.chunk divides it.
        """
        group, size = self.mesh.get_group(self.classes), -(-classes // self.mesh.size(self.classes))
        return group.group_name, min(classes, size * self.mesh.get_local_rank(self.classes)), classes

    def local_target(self, target: Tensor, class_dim: int) -> Tensor:
        """The labels, or class probabilities, of this rank."""
        target = self.on_mesh(target, "target")
        return to_local(target, Layout.of(target, self.of_rows(class_dim if target.is_floating_point() else None)))

    def local_coefficients(self, tensor: Tensor | None, name: str, placements: Placements) -> Tensor | None:
        """The part of this rank of a tensor without rows; the gradients of ranks with different rows are summands."""
        if tensor is None:
            return None
        tensor = self.on_mesh(tensor, name)
        return to_local(tensor, Layout.of(tensor, placements, self.rows))

    def on_mesh(self, tensor: Tensor, name: str) -> DTensor:
        """A DTensor of this mesh; a plain tensor is the whole one, equal on all ranks."""
        if not isinstance(tensor, DTensor):
            return to_whole(tensor, Layout.of_result(self.mesh, tensor.shape, self.replicated))
        if tensor.device_mesh != self.mesh:
            raise ValueError(
                f"{name} is on {tensor.device_mesh} and input on {self.mesh}; expected one mesh for all DTensors"
            )
        return tensor


def _sharded_dims(tensor: DTensor, name: str) -> dict[int, int]:
    """The dimension of the tensor that each dimension of the mesh shards; those that shard none are absent."""
    shards = {}
    for i, placement in enumerate(without_partial(tensor.placements)):
        if type(placement) is Shard:
            shards[i] = placement.dim
        elif not placement.is_replicate():
            _reject_placements(tensor, name, "Shard, Replicate or Partial")
    return shards


def _class_mesh_dim(shards: dict[int, int], dim: int, tensor: DTensor, name: str) -> int | None:
    """The dimension of the mesh that shares out the classes, which are dimension `dim` of a tensor."""
    found = [i for i, shard in shards.items() if shard == dim]
    if len(found) > 1:
        _reject_placements(tensor, name, f"Shard({dim}), of classes, along one dimension of the mesh")
    return found[0] if found else None


def _reject_placements(tensor: DTensor, name: str, expected: str) -> NoReturn:
    raise ValueError(
        f"{name} has shape {tuple(tensor.shape)} and placements {tensor.placements}; expected {expected}; write "
        f"{name}.redistribute(placements=...)"
    )
