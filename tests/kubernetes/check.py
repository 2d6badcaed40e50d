"""deploy/kubernetes against the schemas of Kubernetes, and against itself; .github/workflows as far as it is ours to know.

What a schema cannot see is where manifests go wrong: a name that nothing has, a port that nobody opens, a mount that is not
where the configuration looks. Run by .ci/deploy, from the top of the repository.
"""

import os
import pathlib
import re
import sys

import kubernetes_validate
import yaml

VERSIONS = ["1.30", "1.37"]  # the oldest that has lifecycle.preStop.sleep on by default, and the newest that is known
PLACE = pathlib.Path("deploy/kubernetes")
# Made by hand, as docs/deployment.md says, with these keys.
SECRETS = {
    "mcx-token-broker": {"admin", "home", "signing.pem", "redis", "seal", "county-fire"},
    "mcx-token-broker-tls": {"tls.crt", "tls.key"},
}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def validated(resources):
    for path, resource in resources:
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}
    try:
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("the validator takes everything")


def check_kustomization(kustomization):
    listed = set(kustomization["resources"])
    there = {path.name for path in PLACE.glob("*.yaml")} - {"kustomization.yaml"}
    assert listed == there, f"kustomization.yaml lists {listed}, and there are {there}"
    generated = {generator["name"]: generator for generator in kustomization["configMapGenerator"]}
    for generator in generated.values():
        for file in generator["files"]:
            assert (PLACE / file).is_file(), f"{file} is not there"
    partners = generated["mcx-token-broker-partners"]
    assert partners["options"]["disableNameSuffixHash"] is True, "a new name would be a rollout, not a reload"
    files = {f"partners/{path.name}" for path in (PLACE / "partners").iterdir()}
    assert files == set(partners["files"]), f"{files} are there, and {partners['files']} listed"
    return set(generated)


def check_pod(pod, config_maps):
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True and context["seccompProfile"]["type"] == "RuntimeDefault"
    assert context["fsGroup"] == context["runAsGroup"], "the group that may read the secrets is the broker's"
    (container,) = pod["containers"]
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"] is True and own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    for volume in pod["volumes"]:
        if "configMap" in volume:
            assert volume["configMap"]["name"] in config_maps, volume
        else:
            assert volume["secret"]["secretName"] in SECRETS, volume
            assert volume["secret"]["defaultMode"] == 0o440, volume
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert not any("subPath" in mount for mount in mounts.values()), "what is mounted by subPath never changes"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin", probe
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    grace = pod["terminationGracePeriodSeconds"] - container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace >= 15, "server.shutdown_grace, and five seconds for the partners"
    return ports, {volume["name"]: volume for volume in pod["volumes"]}, mounts


def check_configuration(ports, volumes, mounts):
    """Each file that the configuration names is a key of a secret that is mounted there."""
    texts = [(PLACE / "broker.toml").read_text()]
    texts += [path.read_text() for path in (PLACE / "partners").iterdir()]
    listens = re.findall(r'^listen = "0\.0\.0\.0:(\d+)"', texts[0], re.M)
    assert sorted(map(int, listens)) == sorted(ports.values()), (listens, ports)
    named = {name for text in texts for name in re.findall(r'"(/run/secrets/[^"]+)"', text)}
    kept = {
        f"{mounts[name]['mountPath']}/{key}"
        for name, volume in volumes.items()
        if "secret" in volume
        for key in SECRETS[volume["secret"]["secretName"]]
    }
    assert named == kept, f"only named: {named - kept}, only kept: {kept - named}"
    documented = pathlib.Path("docs/deployment.md").read_text()
    for secret, keys in SECRETS.items():
        assert secret in documented and all(key in documented for key in keys), f"docs/deployment.md: {secret}"


def check_names(kinds, labels, ports):
    for kind, selector in (
        ("Service", lambda spec: spec["selector"]),
        ("PodDisruptionBudget", lambda spec: spec["selector"]["matchLabels"]),
        ("NetworkPolicy", lambda spec: spec["podSelector"]["matchLabels"]),
        ("Deployment", lambda spec: spec["selector"]["matchLabels"]),
    ):
        for resource in kinds[kind]:
            assert selector(resource["spec"]).items() <= labels.items(), f"{kind} selects no pod of ours"
    for service in kinds["Service"]:
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, port
    for policy in kinds["NetworkPolicy"]:
        for rule in policy["spec"]["ingress"]:
            assert all(port["port"] in ports for port in rule["ports"]), rule
    (budget,) = kinds["PodDisruptionBudget"]
    (deployment,) = kinds["Deployment"]
    assert deployment["spec"]["replicas"] > budget["spec"]["minAvailable"] >= 1


def check_workflow(path):
    """Each command of ours that a workflow runs is there, and a job that hangs ends."""
    (workflow,) = documents(path)
    assert workflow["permissions"] == {"contents": "read"}, path
    ours = 0
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job and "runs-on" in job, f"{path}: {name}"
        assert set(job.get("needs", [])) <= workflow["jobs"].keys(), f"{path}: {name}"
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), f"{path}: {name}: {step}"
            for command in re.findall(r"^\.ci/\S+", step.get("run", ""), re.M):
                assert os.access(command, os.X_OK), f"{path}: {command} cannot be run"
                ours += 1
    assert ours >= 2, f"{path} runs nothing of ours"


def main():
    (kustomization,) = documents(PLACE / "kustomization.yaml")
    config_maps = check_kustomization(kustomization)
    resources = [(path, resource) for name in kustomization["resources"] for path in [PLACE / name] for resource in documents(path)]
    validated(resources)
    kinds = {}
    for _, resource in resources:
        kinds.setdefault(resource["kind"], []).append(resource)
    template = kinds["Deployment"][0]["spec"]["template"]
    ports, volumes, mounts = check_pod(template["spec"], config_maps)
    accounts = {account["metadata"]["name"] for account in kinds["ServiceAccount"]}
    assert template["spec"]["serviceAccountName"] in accounts
    check_names(kinds, template["metadata"]["labels"], ports)
    check_configuration(ports, volumes, mounts)
    workflows = sorted(pathlib.Path(".github/workflows").glob("*.yml"))
    for path in workflows:
        check_workflow(path)
    print(f"{len(resources)} manifests by the schemas of Kubernetes {' and '.join(VERSIONS)}, {len(workflows)} workflow")


if __name__ == "__main__":
    sys.exit(main())
