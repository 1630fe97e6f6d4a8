"""EtcdStore: implements rome.store.spi on an etcd cluster."""

from __future__ import annotations

from collections.abc import Hashable

from rome.store.diagnosis import Diagnosis
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.diagnosis import diagnose
from rome.store.etcd.driver import MAX_BYTES, EtcdDriver
from rome.store.etcd.settings import OPTIONS, read_settings
from rome.store.location import Location
from rome.store.ordered.driver import Driver
from rome.store.ordered.store import OrderedStore
from rome.store.spi import Capabilities


class EtcdStore(OrderedStore):
    """A connection to one database of an etcd cluster, by way of one member at a time."""

    capabilities = Capabilities(
        durable=True, shared=True, network=True, index_trips=2, pins=True, max_commit_bytes=MAX_BYTES
    )
    options = OPTIONS

    @classmethod
    def connect(cls, location: Location) -> Driver:
        return EtcdDriver(EtcdClient(read_settings(location)))

    @classmethod
    def engine(cls, location: Location) -> Hashable:
        return read_settings(location).addresses

    @classmethod
    def diagnose(cls, location: Location) -> Diagnosis:
        return diagnose(read_settings(location), location.database)
