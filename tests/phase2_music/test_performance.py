"""What the synthesiser is told: turns dealt, pedals followed, octaves and drum keys brought home."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase2_music.rendering.performance import (
    GRID_FRAMES,
    HELD,
    MAX_CHANNELS,
    Message,
    Window,
    kits,
    perform,
    turns_that_fit,
)
from phase2_music.rendering.score import ScoreEvent, Track
from schemas.document import Role

WHOLE = Window(0.0, 100.0)


def track(*events: ScoreEvent, role: Role = "keyboard", channel: int = 0) -> Track:
    return Track(1, "a", 0, channel, role == "drums", role, 1, 0, 127, 0.0, events)


def on(time_s: float, key: int, velocity: int = 100) -> ScoreEvent:
    return ScoreEvent(time_s, "on", key, velocity)


def off(time_s: float, key: int) -> ScoreEvent:
    return ScoreEvent(time_s, "off", key, 0)


def cc(time_s: float, number: int, value: int) -> ScoreEvent:
    return ScoreEvent(time_s, "cc", number, value)


def channels(messages: list[Message], kind: str = "on") -> list[int]:
    return [message.channel for message in messages if message.kind == kind]


def test_a_repeated_key_takes_turns_and_each_key_for_itself() -> None:
    events = [each for t in range(5) for each in (on(t, 60), off(t + 0.4, 60))]
    told = perform([track(*events, on(5, 72))], 3, WHOLE)
    assert channels(told) == [0, 1, 2, 0, 1, 0]
    assert channels(told, "off") == [0, 1, 2, 0, 1]


def test_a_key_that_still_sounds_is_struck_again_where_it_sounds() -> None:
    down = perform([track(on(0, 60), on(1, 60), off(2, 60), off(3, 60), on(4, 60))], 2, WHOLE)
    assert channels(down) == [0, 0, 1]
    assert [(m.frame > 100_000, m.channel) for m in down if m.kind == "off"] == [(True, 0)]  # with its last end only
    pedal = perform(
        [track(cc(0, 64, 127), on(0, 60), off(1, 60), on(2, 60), off(3, 60), cc(4, 64, 0), on(5, 60))], 2, WHOLE
    )
    assert channels(pedal) == [0, 0, 1]


def hats(*keys: int, role: Role = "drums") -> list[int]:
    """The channels on which keys are struck one after the other."""
    return channels(
        perform(
            [track(*(each for t, k in enumerate(keys) for each in (on(t, k), off(t + 0.1, k))), role=role)], 2, WHOLE
        )
    )


def test_a_piece_that_cuts_another_is_struck_where_that_one_rings() -> None:
    assert hats(42, 46, 42, 42, 42) == [0, 0, 0, 1, 0]  # what is cut rings no more: turns go on
    assert hats(42, 42, 46, 44, 44) == [0, 1, 0, 0, 1]
    assert hats(46, 46, 42) == [0, 0, 0]  # an open hat cuts an open one
    assert hats(46, 38, 38) == [0, 0, 1]
    assert hats(42, 46, 42, role="keyboard") == [0, 0, 1]


def test_tracks_of_a_kit_on_one_channel_are_played_as_one() -> None:
    volume, closed = cc(0, 7, 90), [on(1, 42), off(1.1, 42)]
    opened = [on(0.5, 46), off(0.6, 46)]
    a, b = track(volume, *closed, role="drums", channel=9), track(volume, *opened, role="drums", channel=9)
    c = track(volume, *closed, role="drums", channel=25)
    one, other = kits([a, b, c])
    assert one.events == (volume, *opened, *closed)
    assert other == c


@pytest.mark.parametrize(
    ("ender", "turns"), [(cc(1, 120, 0), [0, 1]), (cc(1, 123, 0), [0, 0]), (cc(1, 121, 0), [0, 1])]
)
def test_what_ends_the_sound_of_a_pedal_lets_turns_go_on(ender: ScoreEvent, turns: list[int]) -> None:
    told = perform([track(cc(0, 64, 127), on(0, 60), off(0.5, 60), ender, on(2, 60))], 2, WHOLE)
    assert channels(told) == turns


def test_controllers_are_told_to_every_turn_and_banks_to_none() -> None:
    told = perform([track(cc(0, 0, 1), cc(0, 32, 1), cc(0, 7, 90), ScoreEvent(0, "bend", 0, 99))], 2, WHOLE)
    assert [message[1:] for message in told] == [
        (0, "cc", 7, 90), (1, "cc", 7, 90), (0, "bend", 0, 99), (1, "bend", 0, 99),
    ]  # fmt: skip


def test_tracks_have_channels_of_their_own_and_fewer_turns_where_there_are_too_many() -> None:
    tracks = [track(on(0, 60), off(1, 60), on(2, 60)) for _ in range(3)]
    assert channels(perform(tracks, 2, WHOLE)) == [0, 2, 4, 1, 3, 5]
    assert turns_that_fit(MAX_CHANNELS // 2, 2) == 2
    assert turns_that_fit(MAX_CHANNELS // 2 + 1, 2) == 1
    many = perform(tracks[:1] * 200, 2, WHOLE)
    assert {message.channel for message in many} == set(range(200))


def test_the_soft_pedal_lessens_velocity_but_never_to_nothing() -> None:
    told = perform([track(cc(0, 67, 127), on(1, 60, 100), on(1, 61, 1), cc(2, 67, 0), on(3, 62, 100))], 1, WHOLE)
    assert [message.value for message in told if message.kind == "on"] == [70, 1, 100]


def test_events_fall_on_the_nearest_block_of_the_synthesiser() -> None:
    told = perform([track(*(on(0.0007 * n, n) for n in range(100)))], 1, WHOLE)
    assert all(message.frame % GRID_FRAMES == 0 for message in told)
    assert all(abs(message.frame / 44100 - 0.0007 * message.number) <= 32 / 44100 + 1e-9 for message in told)


def test_a_window_tells_what_was_before_it_and_cuts_what_reaches_out() -> None:
    events = [cc(0, 7, 50), on(1, 60), cc(2, 64, 127), off(3, 60), on(5, 62), on(8, 64), off(9, 62), cc(9, 64, 0)]
    told = perform([track(*events)], 1, Window(4.0, 6.0))
    seconds = [(round(message.frame / 44100, 1), message.kind, message.number, message.value) for message in told]
    assert seconds == [
        (0, "cc", 7, 50), (0, "cc", 64, 127), (1, "on", 62, 100), (2, "off", 62, HELD), (2, "cc", 64, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", range(124, 128))
def test_mode_messages_become_all_notes_off(mode: int) -> None:
    told = perform([track(on(0, 60), cc(1, mode, 1))], 2, WHOLE)
    assert [message[1:4] for message in told[1:]] == [(0, "cc", 123), (1, "cc", 123)]


@pytest.mark.parametrize(("role", "low", "high"), [("keyboard", 36, 96), ("bass", 28, 60), ("guitar", 40, 88)])
def test_folding_keeps_the_note_and_finds_the_range(role: Role, low: int, high: int) -> None:
    told = perform([track(*(on(0, key) for key in range(128)), role=role)], 1, WHOLE, fold_octaves=True)
    for key, message in enumerate(told):
        assert low <= message.number <= high
        assert (message.number - key) % 12 == 0
        assert message.number == key or not low <= key <= high
    plain = perform([track(*(on(0, key) for key in range(128)), role=role)], 1, WHOLE)
    assert [message.number for message in plain] == list(range(128))


def test_folded_keys_that_meet_end_with_the_last_of_them() -> None:
    told = perform([track(on(0, 24), on(1, 36), off(2, 24), off(3, 36))], 2, WHOLE, fold_octaves=True)
    assert [(round(m.frame / 44100), m.kind, m.number, m.channel) for m in told] == [
        (0, "on", 36, 0), (1, "on", 36, 0), (3, "off", 36, 0),
    ]  # fmt: skip


def test_every_drum_key_falls_on_the_kit_with_or_without_folding() -> None:
    for fold in (False, True):
        told = perform([track(*(on(0, key) for key in range(128)), role="drums")], 1, WHOLE, fold)
        assert all(35 <= message.number <= 81 for message in told)
        assert [message.number for message in told][35:82] == list(range(35, 82))


CONTROLLERS = [0, 1, 6, 38, 64, 66, 67, 100, 101, 120, 121, 123, 126]
EVENTS = st.lists(
    st.one_of(
        st.builds(on, st.just(0.0), st.integers(30, 45), st.integers(1, 127)),
        st.builds(off, st.just(0.0), st.integers(30, 45)),
        st.builds(cc, st.just(0.0), st.sampled_from(CONTROLLERS), st.integers(0, 127)),
        st.builds(ScoreEvent, st.just(0.0), st.just("bend"), st.just(0), st.integers(-8192, 8191)),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(1, 4), st.booleans(), st.sampled_from(["keyboard", "drums"]))
def test_no_key_is_left_down_and_no_message_is_out_of_bounds(
    events: list[ScoreEvent], turns: int, fold: bool, role: Role
) -> None:
    timed = [each._replace(time_s=0.1 * index) for index, each in enumerate(events)]
    ends = [off(90.0, key) for key in range(30, 46) for _ in timed]
    told = perform([track(*timed, *ends, role=role)], turns, WHOLE, fold)
    down: dict[tuple[int, int], int] = {}
    for message in told:
        assert 0 <= message.channel < turns
        assert 0 <= message.number <= 127
        assert -8192 <= message.value <= 8191
        where = (message.channel, message.number)
        if message.kind == "on":
            down[where] = 1
        elif message.kind == "off":
            assert down.pop(where, 0), "a key comes up that is not down"
        elif message.kind == "cc" and message.number in (120, 123):
            down = {each: 1 for each in down if each[0] != message.channel}
    assert not down
    assert [message.frame for message in told] == sorted(message.frame for message in told)
