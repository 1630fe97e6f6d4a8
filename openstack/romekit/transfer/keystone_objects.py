"""Users and projects as Keystone's own managers show them, on the database that a configuration file names.

usage: python -m romekit.transfer.keystone_objects CONFIGURATION DOMAIN PASSWORD USER...

Prints JSON: each user authenticated by its password, a wrong one refused, and what the user may do; digests of lists.
"""

import hashlib
import json
import sys

import flask
import keystone.conf
from keystone.common import context, provider_api
from keystone.server import backends


def read(domain, password, users):
    """What Keystone shows, as {what: the value, or how many of them and a digest}."""
    backends.load_backends()
    apis = provider_api.ProviderAPIs
    shown = {}
    for name in users:
        found = apis.identity_api.get_user_by_name(name, domain)
        apis.identity_api.authenticate(found["id"], password)
        try:
            apis.identity_api.authenticate(found["id"], password + "!")
        except AssertionError:
            pass
        else:
            raise RuntimeError("Keystone accepts a wrong password")
        shown[name] = {
            "projects": _digest(apis.assignment_api.list_projects_for_user(found["id"])),
            "roles": _digest(apis.assignment_api.list_role_assignments(user_id=found["id"])),
        }
    shown["users"] = _digest(apis.identity_api.list_users(domain_scope=domain))
    shown["projects"] = _digest(apis.resource_api.list_projects())
    shown["roles"] = _digest(apis.role_api.list_roles())
    shown["catalogue"] = _digest(apis.catalog_api.list_endpoints())
    return shown


def _digest(found):
    texts = sorted(json.dumps(each, sort_keys=True, default=str) for each in found)
    return len(texts), hashlib.sha256("\n".join(texts).encode()).hexdigest()


def main():
    """Print what is there."""
    configuration, domain, password, *users = sys.argv[1:]
    keystone.conf.configure()
    keystone.conf.CONF(["--config-file", configuration], project="keystone", default_config_files=[])
    keystone.conf.set_external_opts_defaults()
    environment = {context.REQUEST_CONTEXT_ENV: context.RequestContext()}
    with flask.Flask("keystone").test_request_context(environ_base=environment):
        print(json.dumps(read(domain, password, users), indent=1))


if __name__ == "__main__":
    main()
