"""One server made, and servers read, by Nova's own objects, on the databases that a configuration file names.

usage: python -m romekit.transfer.nova_objects make|read CONFIGURATION

`make` writes one server with all that belongs to it. `read` prints what Nova's objects show, as JSON: pages of the list
of servers through the cells, with everything that belongs to them, and what the API's database says of them.
"""

import hashlib
import json
import sys

from nova import config, context, objects
from nova.compute import instance_list
from nova.network import model as network_model
from oslo_utils.fixture import uuidsentinel

PAGE = 100
_EVERYTHING = [
    "metadata", "system_metadata", "info_cache", "fault", "flavor", "tags", "services", "numa_topology", "pci_requests",
    "keypairs", "device_metadata", "trusted_certs", "vcpu_model", "migration_context", "resources", "pci_devices",
    "security_groups",
]  # fmt: skip
_FILTERS = [
    {"deleted": False},
    {"deleted": True},
    {"deleted": False, "display_name": "größe"},
    {"deleted": False, "vm_state": "active", "host": "compute-7"},
    {"deleted": False, "project_id": "3" * 32},
]


def make():
    """Write one server with all that belongs to it."""
    admin = context.RequestContext("2" * 32, "3" * 32, is_admin=True)
    flavor = objects.Flavor(
        admin, name="m1.größe", flavorid="42", memory_mb=2048, vcpus=2, root_gb=20, ephemeral_gb=0, swap=0,
        rxtx_factor=1.1, vcpu_weight=0, disabled=False, is_public=True, description="two CPUs é",
        extra_specs={"hw:cpu_policy": "dedicated", "hw:mem_page_size": "large"}, projects=[],
    )  # fmt: skip
    flavor.create()
    [cell] = [each for each in objects.CellMappingList.get_all(admin) if not each.is_cell0()]
    owner = {"user_id": "2" * 32, "project_id": "3" * 32}
    numa = objects.InstanceNUMATopology(
        cells=[objects.InstanceNUMACell(id=0, cpuset={0}, pcpuset={1}, memory=2048, pagesize=2048)]
    )
    server = uuidsentinel.server
    pci = objects.InstancePCIRequests(instance_uuid=server, requests=[])
    with context.target_cell(admin, cell) as here:
        service = objects.Service(here, host="compute-7", binary="nova-compute", topic="compute")
        service.create()
        node = objects.ComputeNode(
            here, uuid=uuidsentinel.node, host="compute-7", hypervisor_hostname="compute-7", vcpus=64,
            memory_mb=262144, local_gb=1000, vcpus_used=2, memory_mb_used=2048, local_gb_used=20,
            hypervisor_type="QEMU", hypervisor_version=8002000,
            cpu_info=json.dumps({"vendor": "AMD", "features": ["sse", "avx2"] * 20}),
            service_id=service.id, cpu_allocation_ratio=16.0, ram_allocation_ratio=1.5, disk_allocation_ratio=1.0,
        )  # fmt: skip
        node.create()
        port = network_model.VIF(
            id=uuidsentinel.port, address="fa:16:3e:00:00:01", devname="tap1", type="ovs", active=True,
            network=network_model.Network(
                id=uuidsentinel.network, bridge="br-int", label="privé",
                subnets=[network_model.Subnet(cidr="10.0.0.0/8", ips=[network_model.FixedIP(address="10.0.0.7")])],
            ),
        )  # fmt: skip
        instance = objects.Instance(
            here, uuid=server, display_name="web", display_description="größe ☃", hostname="web", host="compute-7",
            node="compute-7", compute_id=node.id, flavor=flavor, instance_type_id=flavor.id, memory_mb=2048, vcpus=2,
            root_gb=20, ephemeral_gb=0, image_ref=uuidsentinel.image, vm_state="active", power_state=1, launch_index=0,
            reservation_id="r-00000000", user_data="I2Nsb3VkLWNvbmZpZwo=" * 20, key_name="ключ",
            key_data="ssh-rsa AAAA", availability_zone="nova", root_device_name="/dev/vda", locked=False,
            config_drive="", os_type="linux",
            numa_topology=numa, pci_requests=pci, metadata={"role": "web", "größe": "klein サーバー"},
            system_metadata={
                "image_min_disk": "20", "image_min_ram": "0", "image_base_image_ref": uuidsentinel.image,
                "owner_project_name": "projet é",
            },
            keypairs=objects.KeyPairList(objects=[]), hidden=False, progress=0, shutdown_terminate=False,
            disable_terminate=False, auto_disk_config=True, cleaned=False, **owner,
        )  # fmt: skip
        instance.create()
        instance.info_cache.network_info = network_model.NetworkInfo([port])
        instance.info_cache.save()
        objects.BlockDeviceMapping(
            here, instance_uuid=server, source_type="image", destination_type="volume", device_name="/dev/vda",
            boot_index=0, volume_id=uuidsentinel.volume, volume_size=20, device_type="disk", delete_on_termination=True,
            connection_info=json.dumps({"driver_volume_type": "rbd", "data": {"hosts": ["10.0.0.1"] * 3}}),
        ).create()  # fmt: skip
        objects.InstanceFault(here, instance_uuid=server, code=500, host="compute-7", message="Fehler: größe ☃",
                              details="Traceback (most recent call last):\n" * 20).create()  # fmt: skip
        objects.InstanceAction.action_start(here, server, "create")
        objects.InstanceActionEvent.event_start(here, server, "compute__do_build_and_run_instance", want_result=False)
        objects.TagList.create(here, server, ["production", "größe"])
        objects.VirtualInterface(here, uuid=uuidsentinel.port, address="fa:16:3e:00:00:01", instance_uuid=server,
                                 tag="eth").create()  # fmt: skip
    mapping = objects.InstanceMapping(admin, instance_uuid=server, cell_mapping=cell, queued_for_delete=False, **owner)
    mapping.create()
    objects.RequestSpec(
        admin, instance_uuid=server, flavor=flavor, num_instances=1, image=objects.ImageMeta(id=uuidsentinel.image),
        numa_topology=numa, pci_requests=pci, availability_zone="nova", force_hosts=None, force_nodes=None,
        limits=objects.SchedulerLimits(), instance_group=None, scheduler_hints={"different_host": [uuidsentinel.other]},
        retry=None, ignore_hosts=None, is_bfv=True, **owner,
    ).create()  # fmt: skip


def read():
    """What Nova's objects show, as {what: how many of them and a digest, or the value}."""
    admin = context.get_admin_context(read_deleted="yes")
    shown = {"cells": len(objects.CellMappingList.get_all(admin))}
    for filters in _FILTERS:
        key = json.dumps(filters, ensure_ascii=False)
        for keys, directions in ((["created_at", "id"], ["desc", "desc"]), (["hostname", "uuid"], ["asc", "asc"])):
            marker, found = None, []
            for _ in range(2):
                page, down = instance_list.get_instance_objects_sorted(
                    admin, {**filters}, PAGE, marker, _EVERYTHING, keys, directions
                )
                if down:
                    raise RuntimeError(f"cells {down} do not answer")
                found += page.objects
                if len(page) < PAGE:
                    break
                marker = page[-1].uuid
            shown[f"{key} by {keys[0]}"] = len(found), _digest(found)
    some = [each.uuid for each in found][:20]
    mappings = [objects.InstanceMapping.get_by_instance_uuid(admin, each) for each in some]
    for mapping in mappings:
        mapping.cell_mapping = None  # it says where the cell's database is
    shown["mappings"] = _digest(mappings)
    shown["request specs"] = _digest(objects.RequestSpec.get_by_instance_uuid(admin, each) for each in some)
    [cell] = [each for each in objects.CellMappingList.get_all(admin) if not each.is_cell0()]
    with context.target_cell(admin, cell) as here:
        for name, of_instance in {
            "volumes": objects.BlockDeviceMappingList.get_by_instance_uuid,
            "actions": objects.InstanceActionList.get_by_instance_uuid,
            "ports": objects.VirtualInterfaceList.get_by_instance_uuid,
        }.items():
            shown[name] = _digest(row for each in some for row in of_instance(here, each))
    return shown


def _digest(found):
    texts = [json.dumps(_values(each.obj_to_primitive()), sort_keys=True, default=str) for each in found]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _values(primitive):
    """Without the lists of changed fields, which are in any order."""
    if isinstance(primitive, dict):
        return {key: _values(value) for key, value in primitive.items() if key != "nova_object.changes"}
    return [*map(_values, primitive)] if isinstance(primitive, list | tuple) else primitive


def main():
    """Run what the arguments ask for."""
    what, configuration = sys.argv[1:]
    config.parse_args(["nova-manage", "--config-file", configuration], default_config_files=[])
    objects.register_all()
    if what == "make":
        make()
    else:
        print(json.dumps(read(), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
