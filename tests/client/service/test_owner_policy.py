"""The owner's policy: what a server may ask, held against it before anything is read or charged."""

import datetime
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from served_devices import changed

from client.service.permission import check_plan, check_task
from client.service.policy import OwnerPolicy, read_policy
from everbloom.errors import ConfigError, InputError, PrivacyError
from everbloom.signing import sign

CATALOGUE = "ab" * 32
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def policy(**keys) -> OwnerPolicy:
    return OwnerPolicy.model_validate(
        {"epsilon": 8.0, "delta": 1e-4, "min_cohort": 5, "servers": [{"name": "shop"}], **keys}
    )


def ask(given: OwnerPolicy, task, signed: bool = False) -> str:
    content = task.pack()
    if signed:
        sign(content, KEY)
    return check_task(given, CATALOGUE, content, task)


def test_a_task_within_the_policy_is_taken_and_its_server_named(task):
    assert ask(policy(), task) == "shop"
    strict = {"name": "mine", "schema": task.schema, "catalogue": CATALOGUE, "key": PUBLIC}
    assert ask(policy(servers=[{"name": "other", "schema": "f" * 16}, strict]), task, signed=True) == "mine"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"privacy": {"unit": "none"}}, "privacy.unit = 'none' is asked for, this device's owner allows user, interaction, example"),
        ({"privacy": {"unit": "user", "mechanism": {"name": "central"}}}, "noise by 'central' is asked for"),
        ({"course": {"cohort": 1}}, "a cohort of 1, this device's owner wants 5 or more"),
    ],
)  # fmt: skip
def test_less_privacy_than_the_owner_wants_is_refused(task, change, told):
    with pytest.raises(PrivacyError, match=told):
        ask(policy(), changed(task, **change))


@pytest.mark.parametrize(
    ("server", "signed", "told"),
    [
        ({"schema": "f" * 16}, False, "parameter schema .*, expected ffffffffffffffff"),
        ({"catalogue": "0" * 64}, False, "its catalogue is 0000000000000000, this device holds abababababababab"),
        ({"key": PUBLIC}, False, "the message is not signed"),
        ({"key": "0" * 64}, True, "the message is signed with another key"),
    ],
)
def test_another_server_is_refused(task, server, signed, told):
    with pytest.raises(PrivacyError, match=f"no server that the device's owner allows .shop: {told}"):
        ask(policy(servers=[{"name": "shop", **server}]), task, signed)


def test_without_servers_nobody_is_answered(task):
    with pytest.raises(PrivacyError, match="allows no server"):
        ask(policy(servers=[]), task)


def test_a_task_for_another_catalogue_is_refused(task):
    with pytest.raises(PrivacyError, match="the task's catalogue is cdcdcdcdcdcdcdcd"):
        ask(policy(), replace(task, catalogue="cd" * 32))


def test_a_task_that_was_changed_after_it_was_signed_is_refused(task):
    content = task.pack()
    sign(content, KEY)
    content.config_records["task"]["round"] = 99
    with pytest.raises(PrivacyError, match="signature does not hold"):
        check_task(policy(), CATALOGUE, content, task)


def test_a_bigger_budget_is_refused(make_plan):
    check_plan(policy(), make_plan(epsilon=8.0, delta=1e-4))
    for bigger in (make_plan(epsilon=8.1, delta=1e-4), make_plan(epsilon=8.0, delta=1e-3)):
        with pytest.raises(
            PrivacyError, match=r"a budget of epsilon 8.* is asked for, this device's owner allows 8 at 0\.0001"
        ):
            check_plan(policy(), bigger)


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "21:59"]),
        ("09:00-17:30", ["09:00"], ["17:30", "08:59"]),
    ],
)
def test_hours(hours, open_at, closed_at):
    asked = policy(hours=hours)
    assert all(asked.open_at(datetime.time.fromisoformat(time)) for time in open_at)
    assert not any(asked.open_at(datetime.time.fromisoformat(time)) for time in closed_at)
    assert policy().open_at(datetime.time(3))


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (None, 0o600, "the owner's policy is missing; without it every request is refused"),
        ("epsilon = ", 0o600, "not a policy that can be read"),
        ("epsilon = 1.0", 0o600, "delta: Field required"),
        ("epsilon = 1.0\ndelta = 0.1\nbudget = 3", 0o600, "budget: Extra inputs are not permitted"),
        ('epsilon = 1.0\ndelta = 0.1\nhours = "late"', 0o600, "hours: "),
        ("epsilon = 1.0\ndelta = 0.1", 0o666, r"others than the owner can write it \(mode 666\); chmod 600 it"),
    ],
)
def test_a_policy_that_is_wrong_is_told_in_one_line(tmp_path, text, mode, told):
    path = tmp_path / "policy.toml"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(InputError, match=told) as caught:
        read_policy(path)
    assert isinstance(caught.value, ConfigError | PrivacyError)
    assert "\n" not in str(caught.value)


def test_the_policy_that_init_writes_can_be_read(folder):
    found = read_policy(folder.policy)
    assert (found.epsilon, found.delta, found.min_cohort, len(found.servers)) == (40.0, 1e-3, 5, 1)
    assert folder.policy.stat().st_mode & 0o777 == 0o600
