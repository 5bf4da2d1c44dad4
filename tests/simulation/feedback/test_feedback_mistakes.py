"""What a person can get wrong: one line, exit code 2, nothing written."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--exploration", "greedy,thomson"), "unknown exploration 'thomson'; expected one of: greedy, epsilon-greedy"),
        (("--exploration", "greedy,"), "unknown exploration ''"),
        (("--users-model", "pbm"), "unknown user model 'pbm'; expected one of: position-biased"),
        (("--steps", "0"), "feedback.steps: Input should be greater than 0 (given: 0)"),
        (("--top-n", "-2"), "feedback.top_n: Input should be greater than 0 (given: -2)"),
        (("--top-n", "51"), "feedback.top_n: 51 is more than the 48 items of the warm start"),
        (("--seeds", "0"), "--seeds 0: expected 1 or more"),
        (("-s", "feedback.explorations=[]"), "feedback.explorations: Tuple should have at least 1 item"),
        (("-s", "feedback.explorations=[{name='softmax',heat=1}]"), "heat: unknown key"),
        (("-s", "feedback.user_model={name='cascade',eta=1}"), "feedback.user_model.eta: unknown key"),
        (("-s", "runtime.name=ray"), 'runtime.name = "ray": the loop\'s people live in this process'),
        (("-s", "protocol.name=leave-one-out"), 'protocol.name = "leave-one-out": a loop goes on from a point in time'),
        (("-s", "data.positives={view=1.0}"), "data.positives: leaves out `click`"),
        (("-s", "continual.panel=0.1"), "[continual]: a loop is trained by plain fine-tuning"),
        (
            ("-s", "evaluation.devices={measures=['hr@10']}"),
            "[evaluation.devices]: a loop measures against people's tastes",
        ),
        (("-s", "model.user.personal=true"), "model.user.personal: a loop's devices are made anew at every step"),
        (("-s", "learning.algorithm='scaffold'"), 'learning.algorithm = "scaffold": a loop\'s devices are made anew'),
        (("-s", "federation.compression='top-k'"), "federation.compression.feedback: a loop's devices are made anew"),
    ],
)
def test_it_is_one_line(mistaken, arguments, expected):
    assert expected in mistaken(*arguments)
    assert not Path("runs").exists()


def test_nothing_is_written_over(mistaken):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert "out: exists and is not empty" in mistaken("--out", "out")
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]
