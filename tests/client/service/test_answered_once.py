"""A message is answered once: the same bytes however often it comes, charged once, and nothing sent that is not kept and committed."""

import asyncio
import datetime

import pytest

from client.frames import VERSION
from client.service.federation import FederationSide
from client.service.journal import Journal
from client.service.private_store import PrivateStore
from client.service.worker import WorkerFailed

BODY = b"a task"


class Trainer:
    """Writes down what it is asked, answers with a new number each time, and fails where it is told to."""

    def __init__(self, *fails: str) -> None:
        self.asked: list[str] = []
        self.fails = list(fails)

    async def ask(self, header, body=b""):
        self.asked.append(header["do"])
        await asyncio.sleep(0)
        if header["do"] in self.fails:
            self.fails.remove(header["do"])
            raise WorkerFailed("it was killed")
        return {"status": "answered", "statement": "the claim", "round": 1}, b"reply %d" % len(self.asked)


@pytest.fixture
def side(folder):
    """(trainer, now=None) -> a federation side over the folder's store."""

    made: list[FederationSide] = []

    def make(trainer: Trainer, hour: int = 12) -> FederationSide:
        def clock() -> datetime.datetime:
            return datetime.datetime(2026, 5, 1, hour)

        made.append(FederationSide(folder, PrivateStore(folder.store), trainer, Journal(folder.log, False), clock))
        return made[-1]

    yield make
    for one in made:
        one.store.close()
        one.journal.close()


def ask(
    one: FederationSide, message: object = "m1", message_type: object = "train", body: bytes = BODY, **more: object
):
    header = {"version": VERSION, "message": message, "type": message_type, **more}
    return asyncio.run(one.answer(header, body))


def test_a_redelivered_message_gets_the_same_bytes_and_is_not_trained_again(side):
    trainer = Trainer()
    first = ask(side(trainer))
    assert first == ({"status": "answered"}, b"reply 1")
    assert trainer.asked == ["answer", "commit"]
    assert ask(side(trainer)) == first, "also after a restart"
    assert trainer.asked == ["answer", "commit"]
    assert ask(side(trainer), "m2")[1] == b"reply 3"


def test_twice_at_once_is_once(side):
    trainer = Trainer()
    one = side(trainer)
    header = {"version": VERSION, "message": "m1", "type": "train"}

    async def both():
        return await asyncio.gather(*(one.answer(header, BODY) for _ in range(3)))

    assert asyncio.run(both()) == [({"status": "answered"}, b"reply 1")] * 3
    assert trainer.asked == ["answer", "commit"]


def test_ended_before_it_answered_it_is_asked_again(side):
    trainer = Trainer("answer")
    assert ask(side(trainer))[0] == {"status": "refused", "reason": "it was killed"}
    assert ask(side(trainer))[0] == {"status": "answered"}
    assert trainer.asked == ["answer", "answer", "commit"], "the ledger sees to it that this is one charge"


def test_what_is_kept_and_not_committed_is_committed_before_it_is_sent(side):
    trainer = Trainer("commit")
    assert ask(side(trainer))[0]["status"] == "refused"
    assert ask(side(trainer)) == ({"status": "answered"}, b"reply 1")
    assert trainer.asked == ["answer", "commit", "commit"], "not trained again"


def test_another_message_of_the_same_id_is_refused(side):
    one = side(Trainer())
    ask(one)
    for given in ({"body": b"another task"}, {"message_type": "query.secure_keys"}):
        assert ask(one, **given)[0]["reason"] == "refused: another message of this id was answered already"


def test_what_was_forgotten_is_not_answered_again(side):
    one = side(Trainer())
    ask(one)
    one.store.forget()
    assert "its answer is no longer kept" in ask(one)[0]["reason"]
    assert one.trainer.asked == ["answer", "commit"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"message": ""}, "message id: expected 1 to 256 characters"),
        ({"message": None}, "message id: expected"),
        (
            {"message_type": "query.raw_events"},
            "message type 'query.raw_events': expected one of train, evaluate, query.hello",
        ),
        ({"message_type": ["train"]}, "message type"),
        ({"version": 2}, "request of version 2: this device speaks version 1"),
    ],
)
def test_what_is_no_message_is_refused_and_noted(side, folder, given, told):
    trainer = Trainer()
    reply, content = ask(side(trainer), **given)
    assert reply["status"] == "refused"
    assert told in reply["reason"]
    assert (content, trainer.asked) == (b"", [])
    assert told in folder.log.read_text()


def test_a_paused_device_and_one_out_of_hours_refuse(side, folder):
    one = side(Trainer(), hour=12)
    one.store.set({"paused": "yes"})
    assert ask(one)[0]["reason"] == "refused: this device is paused by its owner"
    assert ask(one, "h", "query.hello")[0]["status"] == "answered", "who it is tells nothing"
    one.store.set({"paused": "no"})
    folder.policy.write_text('hours = "22:00-06:00"\n' + folder.policy.read_text())
    assert ask(one)[0]["reason"] == "refused: this device's owner lets it train at 22:00-06:00 only"
    assert ask(side(Trainer(), hour=23))[0]["status"] == "answered"


def test_a_policy_that_cannot_be_read_refuses_everything_and_tells_no_path(side, folder):
    folder.policy.write_text("epsilon = ")
    reason = ask(side(Trainer()))[0]["reason"]
    assert reason.startswith("policy.toml: not a policy that can be read")
    assert str(folder.path) not in reason


def test_a_full_disk_sends_nothing(side):
    trainer = Trainer()
    one = side(trainer)
    (pages,) = one.store._connection.execute("PRAGMA page_count").fetchone()
    one.store._connection.execute(f"PRAGMA max_page_count = {pages}")
    trainer.ask, inner = None, trainer.ask

    async def large(header, body=b""):
        reply, _ = await inner(header, body)
        return reply, b"x" * 100_000

    trainer.ask = large
    reply, content = ask(one)
    assert reply["status"] == "refused"
    assert "nothing can be written" in reply["reason"]
    assert (content, trainer.asked) == (b"", ["answer"])
