"""The Helm chart: it renders for every set of values in its folder `ci`, the Kubernetes API and a linter accept the result, and the server accepts
the configuration that it renders."""

import copy
import re

import kubernetes_validate
import pytest
import yaml

from conftest import ROOT, outcrop, run

CHART = "deploy/helm/outcrop"
VALUES = ["values.yaml", "ci/full.yaml", "ci/mesh.yaml"]
# The oldest version that Chart.yaml allows, and the newest one that is known.
KUBERNETES = ["1.30", "1.37"]
# The server has no limit of CPU on purpose, and an image with a digest needs no pull. Replicas are spread by constraints.
SCORE = [
    "kube-score", "score", "--output-format", "ci", "--exit-one-on-warning", "--ignore-container-cpu-limit",
    "--ignore-test", "container-image-pull-policy", "--ignore-test", "deployment-has-host-podantiaffinity", "-",
]


def render(values, *flags, check=True):
    return run(["helm", "template", "outcrop", CHART, "--values", f"{CHART}/{values}", *flags], check=check)


def objects(values, *flags):
    return [found for found in yaml.safe_load_all(render(values, *flags).stdout) if found]


def of_kind(kind, values, *flags):
    return next(found for found in objects(values, *flags) if found["kind"] == kind)


def config(values, *flags):
    file = next(found for found in objects(values, *flags) if found["kind"] in ("ConfigMap", "Secret"))
    return (file.get("data") or file["stringData"])["outcrop.toml"]


@pytest.mark.parametrize("values", VALUES)
def test_the_chart_is_accepted_by_helm_by_the_api_and_by_a_linter(values):
    run(["helm", "lint", "--strict", CHART, "--values", f"{CHART}/{values}"])
    rendered = objects(values)
    assert len(rendered) >= 6
    for found in rendered:
        for version in KUBERNETES:
            kubernetes_validate.validate(found, version, strict=True)
    run(SCORE, input=render(values).stdout)


def test_a_wrong_object_is_refused_by_the_api_and_by_the_linter():
    deployment = of_kind("Deployment", "ci/full.yaml")
    misspelt, privileged = copy.deepcopy(deployment), copy.deepcopy(deployment)
    misspelt["spec"]["template"]["spec"]["terminationGracePeriod"] = 330
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, KUBERNETES[0], strict=True)
    privileged["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    done = run(SCORE, check=False, input=yaml.safe_dump(privileged))
    assert done.returncode == 1 and "privileged" in done.stdout


@pytest.mark.parametrize("flag, told", [
    ("replica=2", "replica"),
    ("image.tag=latest", "tag"),
    ("settings.listen=127.0.0.1:1", "listen"),
    ("drain.graceSeconds=-1", "graceSeconds"),
    ("redis.address=redis://user:password@redis", "address"),
    ("settings.max_streams=1.5", "max_streams"),
])
def test_wrong_values_are_refused(flag, told):
    done = render("values.yaml", "--set-json" if flag.endswith("1.5") else "--set", flag, check=False)
    assert done.returncode != 0 and told in done.stderr, done.stderr


def test_without_callers_and_encryption_the_server_does_not_start(folder):
    file = folder / "outcrop.toml"
    file.write_text(config("values.yaml"))
    done = outcrop("check", "--config", file, check=False)
    problems = re.findall(r"^  - \S+?:\d+: (\w+) .*(no callers|not encrypted)", done.stderr, re.MULTILINE)
    assert sorted(problems) == sorted([
        (address, missing) for address in ("listen", "metrics_listen") for missing in ("no callers", "not encrypted")
    ]), done.stderr


def test_the_server_accepts_what_the_chart_renders(folder, redis):
    """With files where the chart mounts its Secrets, and a Redis in place of the one that is named."""
    outcrop("tls", "self-signed", "--out", folder)
    for path, content in {
        "tls/tls.crt": (folder / "cert.pem").read_text(),
        "tls/tls.key": (folder / "key.pem").read_text(),
        "client-ca/ca.crt": (folder / "cert.pem").read_text(),
        "redis/password": "swordfish\n",
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)
        (folder / path).chmod(0o600)
    file = folder / "outcrop.toml"
    text = config("ci/full.yaml")
    assert "/etc/outcrop/tls/tls.key" in text and "rediss://redis.example:6380/0" in text
    file.write_text(text.replace("/etc/outcrop/", f"{folder}/").replace("rediss://redis.example:6380/0", redis))
    checked = outcrop("check", "--config", file).stdout
    assert checked.startswith("ok\n") and "callers: 2" in checked and "answers from: AWS, eu-west-1" in checked
    printed = outcrop("config", "--config", file).stdout
    for key, value in [("grace", '"300s"'), ("max_streams", "5000"), ("no_page", "true"), ("trusted_proxy", '["10.0.0.0/8"]')]:
        assert re.search(rf"^{key} = {re.escape(value)}  # \S+:\d+", printed, re.MULTILINE), key


def test_the_server_accepts_the_configuration_behind_a_mesh(folder):
    file = folder / "outcrop.toml"
    file.write_text(config("ci/mesh.yaml"))
    assert outcrop("check", "--config", file).stdout.startswith("ok\n")


@pytest.mark.parametrize("values", VALUES)
def test_a_pod_is_not_killed_before_its_shutdown_has_ended(values):
    pod = of_kind("Deployment", values)["spec"]["template"]["spec"]
    text = config(values)
    seconds = {name: int(re.search(rf'^{name} = "(\d+)s"$', text, re.MULTILINE)[1]) for name in ("lame_duck", "grace")}
    hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    # docs/serving.md: the process takes at most 10 s more than both.
    assert pod["terminationGracePeriodSeconds"] > hook + seconds["lame_duck"] + seconds["grace"] + 10


def test_only_settings_that_need_a_restart_restart_the_pods():
    def annotation(*flags):
        return of_kind("Deployment", "ci/mesh.yaml", *flags)["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]

    assert annotation() == annotation("--set-string", 'tables=[[caller]]')
    assert annotation() != annotation("--set", "settings.max_streams=7")


def test_the_policy_allows_what_the_server_calls_and_nothing_else():
    # The Bedrock API of the server calls the operations that do not stream too.
    operations = {
        "converse_stream": "InvokeModelWithResponseStream",
        "invoke_model_with_response_stream": "InvokeModelWithResponseStream",
        "converse": "InvokeModel",
        "invoke_model": "InvokeModel",
        "count_tokens": "CountTokens",
    }
    code = "".join(path.read_text() for path in (ROOT / "src/bedrock").rglob("*.rs"))
    called = set(re.findall(r"\.(converse_stream|converse|invoke_model_with_response_stream|invoke_model|count_tokens)\(\)", code))
    assert called == set(operations)
    policy = yaml.safe_load((ROOT / "deploy/aws/iam-policy.json").read_text())
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    # CountTokens and inference profiles are authorized as InvokeModel too.
    assert actions == {f"bedrock:{name}" for name in operations.values()}
    optional = yaml.safe_load((ROOT / "deploy/aws/iam-policy-optional.json").read_text())
    optional = {action for statement in optional["Statement"] for action in statement["Action"]}
    # ListModels asks the account.
    listed = set(re.findall(r"\.(list_[a-z_]+)\(\)", (ROOT / "src/bedrock/account.rs").read_text()))
    names = {"".join(word.capitalize() for word in name.split("_")) for name in listed}
    # A quota can have a code of Service Quotas.
    read = set(re.findall(r"\.(get_[a-z_]+quota)\(\)", (ROOT / "src/bedrock/service_quotas.rs").read_text()))
    quotas = {"".join(word.capitalize() for word in name.split("_")).replace("Aws", "AWS") for name in read}
    assert listed and len(quotas) == 2
    assert optional == {"bedrock:ApplyGuardrail", *(f"bedrock:{name}" for name in names), *(f"servicequotas:{name}" for name in quotas)}
