"""What a script may send in all."""

import pytest

from airlock import Job, Limits
from airlock.sandbox import Conversation
from airlock.testing.recording import RecordingRun, never_answers
from airlock.worker import codec


@pytest.mark.anyio
async def test_questions_do_not_count_towards_the_bytes_of_all_frames() -> None:
    run = RecordingRun(never_answers)
    await run.started()
    conversation = Conversation(Job(id="x", code="", timeout=1), run, Limits(), lambda _: None)
    frames = [codec.encode(codec.LLM, {"id": n, "prompt": "p", "model": "m"}) for n in range(1, 4)]
    conversation._reader._left = len(frames[0])
    for frame in frames:
        conversation.feed(frame)
    assert not conversation.ended.done()
    conversation.feed(codec.encode(codec.RESULT, "x" * 100))
    await conversation.close()
    assert conversation.ended.result().error == "protocol violation: the sandbox sent too many bytes of frames"
