"""The AWS service model of Bedrock Runtime, as botocore has it: the independent truth about what there is to carry.

Walks a shape and yields its leaves. A leaf is a path, the value to put there, and the smallest structure that holds it: every
required member on the way is filled in.
"""

import itertools
from dataclasses import dataclass, field

import botocore.session

# Values that botocore's validator cannot tell apart from right ones and Bedrock would refuse.
REALISTIC = {
    "toolUseId": "tooluse_1",
    "uri": "s3://bucket/key",
    "bucketOwner": "123456789012",
    "guardrailVersion": "DRAFT",
    "schema": '{"type": "object"}',
}

# Free JSON with every kind of value in it; whole numbers must stay whole.
FREE_JSON = {"whole": 5, "half": 1.5, "text": "x", "yes": True, "none": None, "list": [1, {"deep": 2}]}


def service_model():
    return botocore.session.get_session().get_service_model("bedrock-runtime")


@dataclass
class Leaf:
    """A place in a structure: the names and indices that lead there, and what stands there."""

    path: tuple
    value: object
    structure: dict = field(repr=False)

    def __str__(self):
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")


def leaves(shape, name="", counter=None, enums=False):
    """The leaves of a shape as (path, value, structure). With `enums` each value of an enum is a leaf of its own."""
    counter = counter or itertools.count(1)
    if is_document(shape):
        yield (), FREE_JSON, FREE_JSON
    elif shape.type_name == "structure":
        if not shape.members:
            yield (), {}, {}
        for member, inner in shape.members.items():
            for path, value, structure in leaves(inner, member, counter, enums):
                yield (member, *path), value, {**required(shape, but=member), member: structure}
    elif shape.type_name == "list":
        for path, value, structure in leaves(shape.member, name, counter, enums):
            yield (0, *path), value, [structure]
    elif shape.type_name == "map":
        for path, value, structure in leaves(shape.value, name, counter, enums):
            yield ("key", *path), value, {"key": structure}
    elif enums and getattr(shape, "enum", None):
        for value in shape.enum:
            yield (), value, value
    else:
        value = scalar(shape, name, next(counter))
        yield (), value, value


def is_document(shape):
    return shape.type_name == "structure" and getattr(shape, "is_document_type", False)


def required(shape, but):
    """The smallest values of the required members, save one."""
    if getattr(shape, "is_tagged_union", False):
        return {}
    return {name: smallest(shape.members[name], name) for name in shape.required_members if name != but}


def smallest(shape, name):
    if is_document(shape):
        return {"a": 1}
    if shape.type_name == "structure":
        if getattr(shape, "is_tagged_union", False):
            member, inner = next(iter(shape.members.items()))
            return {member: smallest(inner, member)}
        return required(shape, but=None)
    if shape.type_name == "list":
        return [smallest(shape.member, name)]
    if shape.type_name == "map":
        return {"key": smallest(shape.value, name)}
    return scalar(shape, name, 1)


def scalar(shape, name, number):
    """A value that is right, and other than the default of its type and than most others."""
    if shape.type_name == "string":
        if getattr(shape, "enum", None):
            return shape.enum[-1]
        if name in REALISTIC:
            return REALISTIC[name]
        longest = shape.metadata.get("max")
        return f"leaf-{number}"[:longest] if longest else f"leaf-{number}"
    if shape.type_name == "blob":
        return f"blob-{number}".encode()
    if shape.type_name == "boolean":
        return True
    if shape.type_name in ("integer", "long"):
        return 100 + number
    # 0.5 is the same as a float and as a double.
    return 0.5
