"""The messages of etcd's API that Rome uses, with the numbers that its rpc.proto and kv.proto give their fields.

They are declared here and not generated: these are 30 of the API's 120 messages, and a generated module would be tied
to the version of protobuf that made it. What a newer server adds to a message is skipped when it is read.
Source: https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/etcdserverpb/rpc.proto
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "rome.etcdserverpb"

# message -> fields: name, number, type; "*" before a type: repeated. Enumerations are int32, which has the same bytes.
_MESSAGES: dict[str, list[tuple[str, int, str]]] = {
    "ResponseHeader": [
        ("cluster_id", 1, "uint64"),
        ("member_id", 2, "uint64"),
        ("revision", 3, "int64"),
        ("raft_term", 4, "uint64"),
    ],
    "KeyValue": [
        ("key", 1, "bytes"),
        ("create_revision", 2, "int64"),
        ("mod_revision", 3, "int64"),
        ("version", 4, "int64"),
        ("value", 5, "bytes"),
    ],
    "RangeRequest": [
        ("key", 1, "bytes"),
        ("range_end", 2, "bytes"),
        ("limit", 3, "int64"),
        ("revision", 4, "int64"),
        ("sort_order", 5, "int32"),
        ("sort_target", 6, "int32"),
        ("serializable", 7, "bool"),
        ("keys_only", 8, "bool"),
        ("count_only", 9, "bool"),
        ("min_mod_revision", 10, "int64"),
        ("min_create_revision", 12, "int64"),
    ],
    "RangeResponse": [
        ("header", 1, "ResponseHeader"),
        ("kvs", 2, "*KeyValue"),
        ("more", 3, "bool"),
        ("count", 4, "int64"),
    ],
    "PutRequest": [("key", 1, "bytes"), ("value", 2, "bytes")],
    "PutResponse": [("header", 1, "ResponseHeader")],
    "DeleteRangeRequest": [("key", 1, "bytes"), ("range_end", 2, "bytes")],
    "DeleteRangeResponse": [("header", 1, "ResponseHeader"), ("deleted", 2, "int64")],
    "RequestOp": [
        ("request_range", 1, "RangeRequest"),
        ("request_put", 2, "PutRequest"),
        ("request_delete_range", 3, "DeleteRangeRequest"),
        ("request_txn", 4, "TxnRequest"),
    ],
    "ResponseOp": [
        ("response_range", 1, "RangeResponse"),
        ("response_put", 2, "PutResponse"),
        ("response_delete_range", 3, "DeleteRangeResponse"),
        ("response_txn", 4, "TxnResponse"),
    ],
    "Compare": [
        ("result", 1, "int32"),
        ("target", 2, "int32"),
        ("key", 3, "bytes"),
        ("version", 4, "int64"),
        ("create_revision", 5, "int64"),
        ("mod_revision", 6, "int64"),
        ("value", 7, "bytes"),
        ("range_end", 64, "bytes"),
    ],
    "TxnRequest": [("compare", 1, "*Compare"), ("success", 2, "*RequestOp"), ("failure", 3, "*RequestOp")],
    "TxnResponse": [("header", 1, "ResponseHeader"), ("succeeded", 2, "bool"), ("responses", 3, "*ResponseOp")],
    "CompactionRequest": [("revision", 1, "int64"), ("physical", 2, "bool")],
    "CompactionResponse": [("header", 1, "ResponseHeader")],
    "WatchCreateRequest": [("key", 1, "bytes"), ("range_end", 2, "bytes"), ("start_revision", 3, "int64")],
    "WatchRequest": [("create_request", 1, "WatchCreateRequest")],
    "Event": [("kv", 2, "KeyValue")],
    "WatchResponse": [("header", 1, "ResponseHeader"), ("canceled", 4, "bool"), ("events", 11, "*Event")],
    "StatusRequest": [],
    "StatusResponse": [
        ("header", 1, "ResponseHeader"),
        ("version", 2, "string"),
        ("db_size", 3, "int64"),
        ("leader", 4, "uint64"),
        ("raft_index", 5, "uint64"),
        ("raft_term", 6, "uint64"),
        ("raft_applied_index", 7, "uint64"),
        ("errors", 8, "*string"),
        ("db_size_in_use", 9, "int64"),
        ("is_learner", 10, "bool"),
    ],
    "AlarmRequest": [("action", 1, "int32"), ("member_id", 2, "uint64"), ("alarm", 3, "int32")],
    "AlarmMember": [("member_id", 1, "uint64"), ("alarm", 2, "int32")],
    "AlarmResponse": [("header", 1, "ResponseHeader"), ("alarms", 2, "*AlarmMember")],
    "MemberListRequest": [],
    "Member": [
        ("id", 1, "uint64"),
        ("name", 2, "string"),
        ("peer_urls", 3, "*string"),
        ("client_urls", 4, "*string"),
        ("is_learner", 5, "bool"),
    ],
    "MemberListResponse": [("header", 1, "ResponseHeader"), ("members", 2, "*Member")],
    "AuthenticateRequest": [("name", 1, "string"), ("password", 2, "string")],
    "AuthenticateResponse": [("header", 1, "ResponseHeader"), ("token", 2, "string")],
}

_CHOICES = {"RequestOp": "request", "ResponseOp": "response", "WatchRequest": "request_union"}
"""Messages of which only one field is set at a time, and how that choice is called."""

_TARGETS = ("version", "create_revision", "mod_revision", "value")
"""What a Compare may be about; one of these is set, also where it is 0."""


def _declare() -> DescriptorPool:
    file = FileDescriptorProto(name="rome/etcd.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        choice = _CHOICES.get(name) or ("target_union" if name == "Compare" else None)
        if choice:
            message.oneof_decl.add(name=choice)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number)
            repeated = kind.startswith("*")
            field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in _MESSAGES:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
            if name in _CHOICES or (name == "Compare" and field_name in _TARGETS):
                field.oneof_index = 0
    pool = DescriptorPool()
    pool.Add(file)
    return pool


_pool = _declare()


def _message(name: str) -> Any:
    """The class of a message; what a class of protobuf's has is made at run time, so no type tells of it."""
    return GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


RangeRequest, RangeResponse = _message("RangeRequest"), _message("RangeResponse")
PutRequest, DeleteRangeRequest = _message("PutRequest"), _message("DeleteRangeRequest")
RequestOp, Compare = _message("RequestOp"), _message("Compare")
TxnRequest, TxnResponse = _message("TxnRequest"), _message("TxnResponse")
CompactionRequest, CompactionResponse = _message("CompactionRequest"), _message("CompactionResponse")
WatchCreateRequest, WatchRequest, WatchResponse = map(_message, ("WatchCreateRequest", "WatchRequest", "WatchResponse"))
StatusRequest, StatusResponse = _message("StatusRequest"), _message("StatusResponse")
AlarmRequest, AlarmResponse = _message("AlarmRequest"), _message("AlarmResponse")
MemberListRequest, MemberListResponse = _message("MemberListRequest"), _message("MemberListResponse")
AuthenticateRequest, AuthenticateResponse = _message("AuthenticateRequest"), _message("AuthenticateResponse")


class Method:
    """A call of the API: where it goes, and what its answer is."""

    def __init__(self, path: str, response: Any) -> None:
        self.path = path
        self.response = response


TXN = Method("/etcdserverpb.KV/Txn", TxnResponse)
RANGE = Method("/etcdserverpb.KV/Range", RangeResponse)
COMPACT = Method("/etcdserverpb.KV/Compact", CompactionResponse)
WATCH = Method("/etcdserverpb.Watch/Watch", WatchResponse)
STATUS = Method("/etcdserverpb.Maintenance/Status", StatusResponse)
ALARM = Method("/etcdserverpb.Maintenance/Alarm", AlarmResponse)
MEMBER_LIST = Method("/etcdserverpb.Cluster/MemberList", MemberListResponse)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", AuthenticateResponse)
