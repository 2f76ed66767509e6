"""Read an ONNX file as plain data: only what a check of it needs, never more than its bytes can hold.

ONNX files are protobuf messages. The board has no package that reads them apart from ONNX Runtime, which trusts
what it reads too early. This reader is stricter than protobuf: what would be merged, cut or skipped there (a field
given twice, another wire type, groups) is refused, so that nothing is read otherwise here than there.
"""

from __future__ import annotations

from typing import Any

MAX_FIELDS = 1 << 19  # some 50 000 nodes
MAX_DEPTH = 64  # of messages in messages; protobuf itself stops at 100
MAX_RANK = 64  # axes of a tensor
MAX_VARINT = 10  # bytes

# By message, field number: name and kind. A name with * may come often; a kind is `int`, `ints`, `text`, `size`
# (only how many bytes it takes is kept) or a message. Fields that are not here are skipped.
_FIELDS = {
    "Model": {1: "ir_version int", 7: "graph Graph", 8: "opset_import* Opset", 20: "training_info* size"}
    | {25: "functions* Function"},
    "Opset": {1: "domain text", 2: "version int"},
    "Graph": {1: "node* Node", 5: "initializer* Tensor", 11: "input* Value", 12: "output* Value"}
    | {13: "value_info* Value", 15: "sparse_initializer* Sparse"},
    "Node": {4: "op_type text", 5: "attribute* Attribute", 7: "domain text", 8: "overload text"},
    "Attribute": {5: "t Tensor", 6: "g Graph", 10: "tensors* Tensor", 11: "graphs* Graph"}
    | {22: "sparse_tensor Sparse", 23: "sparse_tensors* Sparse"},
    "Tensor": {1: "dims* ints", 2: "data_type int", 4: "typed* size", 5: "typed* size", 6: "strings* size"}
    | {7: "typed* size", 8: "name text", 9: "raw_data size", 10: "typed* size", 11: "typed* size"}
    | {13: "external_data* Entry", 14: "data_location int"},
    "Sparse": {1: "values Tensor", 2: "indices Tensor", 3: "dims* ints"},
    "Entry": {1: "key text", 2: "value text"},
    "Value": {1: "name text", 2: "type Type"},
    "Type": {1: "tensor_type TensorType"},
    "TensorType": {1: "elem_type int", 2: "shape Shape"},
    "Shape": {1: "dim* Dim"},
    "Dim": {1: "dim_value int", 2: "dim_param size"},
    "Function": {1: "name text", 7: "node* Node", 9: "opset_import* Opset", 10: "domain text"}
    | {11: "attribute_proto* Attribute", 12: "value_info* Value", 13: "overload text"},
}
SCHEMA = {
    message: {number: (*field.replace("*", "").split(), "*" in field) for number, field in fields.items()}
    for message, fields in _FIELDS.items()
}
_FIXED = {1: 8, 5: 4}  # wire type -> bytes


class Message:
    """A message's fields by name, each a list of values; what is not in the file is an empty list or a default."""

    def __init__(self) -> None:
        self.fields: dict[str, list[Any]] = {}

    def all(self, name: str) -> list[Any]:
        """The values of a field that may come often."""
        return self.fields.get(name, [])

    def one(self, name: str, default: Any = None) -> Any:
        """The value of a field that comes once."""
        return self.fields.get(name, (default,))[0]


class Reader:
    """One file being read; `found` collects the messages of each kind, wherever they lie."""

    def __init__(self, data: bytes) -> None:
        self.data, self.count = data, 0
        self.found: dict[str, list[Message]] = {kind: [] for kind in SCHEMA}

    def model(self) -> Message:
        """The file as a model; `ValueError` when it is none."""
        return self._message("Model", 0, len(self.data), 0)

    def _message(self, kind: str, start: int, end: int, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise ValueError(f"its messages are nested more than {MAX_DEPTH} deep")
        message, known = Message(), SCHEMA[kind]
        self.found[kind].append(message)
        while start < end:
            number, wire, value, start = self._field(start, end)
            if number in known:
                name, wanted, often = known[number]
                found = self._value(wanted, wire, value, start, depth)
                values = message.fields.setdefault(name, [])
                if values and not often:
                    raise ValueError(f"it is ambiguous: {name} comes twice in one message")
                values.extend(found if wanted == "ints" else (found,))
        return message

    def _field(self, start: int, end: int) -> tuple[int, int, int, int]:
        """Number, wire type, value or length in bytes, and where the field ends."""
        self.count += 1
        if self.count > MAX_FIELDS:
            raise ValueError(f"it has more than {MAX_FIELDS} fields")
        tag, start = self._varint(start, end)
        wire = tag & 7
        if wire == 0:
            value, start = self._varint(start, end)
        elif wire == 2:
            value, start = self._varint(start, end)
            start += value
        elif wire in _FIXED:
            value = _FIXED[wire]
            start += value
        else:
            raise ValueError(f"it is not protobuf: wire type {wire}")
        if start > end or not tag >> 3:
            raise ValueError("it is not protobuf, or cut short")
        return tag >> 3, wire, value, start

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        if start < end and self.data[start] < 0x80:  # as most are
            return self.data[start], start + 1
        value = 0
        for index in range(start, min(end, start + MAX_VARINT)):
            byte = self.data[index]
            value |= (byte & 0x7F) << 7 * (index - start)
            if byte < 0x80:
                return value, index + 1
        raise ValueError("it is not protobuf, or cut short")

    def _value(self, wanted: str, wire: int, value: int, end: int, depth: int) -> Any:
        """A field as the kind that is `wanted`; its bytes, if it has any, end at `end`."""
        if wanted == "size":
            return value if wire else 1
        if wire == 0 and wanted in ("int", "ints"):
            return _signed(value) if wanted == "int" else [_signed(value)]
        if wire != 2 or wanted == "int":
            raise ValueError(f"it is not ONNX: a {wanted} of wire type {wire}")
        if wanted == "text":
            return self.data[end - value : end].decode()
        if wanted == "ints":
            return self._packed(end - value, end)
        return self._message(wanted, end - value, end, depth + 1)

    def _packed(self, start: int, end: int) -> list[int]:
        values = []
        while start < end:
            value, start = self._varint(start, end)
            values.append(_signed(value))
            if len(values) > MAX_RANK:
                raise ValueError(f"it has a tensor of more than {MAX_RANK} axes")
        return values


def _signed(value: int) -> int:
    """An int64 as protobuf writes it."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
