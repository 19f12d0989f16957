"""The value of a cell's last expression, and what is remembered of it."""

import pytest
from host import EXCEPTION, OK

VALUE_MAX = 256 << 10


@pytest.mark.parametrize(
    "text, value",
    [
        ("1 + 1", "2"),
        ("x = 5\nx", "5"),
        ("'a'", "'a'"),
        ("None", None),
        ("x = 3", None),
        ("", None),
        ("# nothing", None),
        ("\n\n  \n", None),
        ("5;", None),
        ("5 ;  # shown?", None),
        ("(5);", None),
        ("'ä;'", "'ä;'"),
        ("'ä' ;", None),
        ("5  # ;", "5"),
        ("1; 2", "2"),
        ("x = 1;\r\nx\r\n", "1"),
        ("\ufeff7", "7"),
        ("'\\ud800'", "'\\ud800'"),
        ("if True:\n    5", None),
        ("[i for i in range(3)]", "[0, 1, 2]"),
        ("'first'\nx = 2\n__doc__", "'first'"),
    ],
)
def test_value_of_the_last_expression(kernel, text, value):
    result = kernel.run(text)
    assert (result.outcome, result.value) == (OK, value)
    assert (result.stdout, result.stderr, result.items) == (b"", b"", [])
    if value is not None:
        assert result.value_total == len(value.encode())


def test_values_are_remembered(kernel):
    kernel.run("11")
    kernel.run("22")
    assert kernel.value("_ + 1") == "23"
    assert kernel.value("__") == "22"
    assert kernel.value("Out[1], Out[2]") == "(11, 22)"


def test_a_variable_named_underscore_is_left_alone(kernel):
    kernel.run("11")
    kernel.run("_ = 'mine'")
    kernel.run("12")
    assert kernel.value("_") == "'mine'"


def test_remembered_values_do_not_pile_up(kernel):
    for i in range(300):
        kernel.run(str(i + 1000))
    assert kernel.value("len(Out) < 300, 1299 in Out.values()") == "(True, True)"


def test_a_large_value_is_cut_between_characters(kernel):
    result = kernel.run("class Big:\n    def __repr__(self): return 'x' + 'ä' * 1_000_000\nBig()")
    assert result.outcome == OK
    assert result.value_total == 2_000_001
    assert VALUE_MAX - 2 <= len(result.value.encode()) <= VALUE_MAX
    assert set(result.value[1:]) == {"ä"}


def test_a_gigantic_value_is_cut(kernel):
    result = kernel.run("class Big:\n    def __repr__(self): return 'x' * 300_000_000\nBig()")
    assert result.value_total == 300_000_000
    assert len(result.value) == VALUE_MAX


@pytest.mark.parametrize(
    "body, expected",
    [
        ("raise ValueError('no')", "<Odd object; repr() raised ValueError: no>"),
        ("return 5", "<Odd object; repr() raised TypeError: __repr__ returned non-string (type int)>"),
        ("return '\\ud800'", "\\ud800"),
        ("raise Bad()", "<Odd object; repr() raised Bad: <exception str() failed>>"),
    ],
)
def test_a_repr_that_fails_is_named_in_the_value(kernel, body, expected):
    kernel.run("class Bad(Exception):\n    def __str__(self): raise ValueError\n")
    result = kernel.run("class Odd:\n    def __repr__(self): %s\nOdd()" % body)
    assert (result.outcome, result.value, result.stderr) == (OK, expected, b"")
    assert kernel.value("1") == "1"


def test_an_endless_repr_can_be_interrupted(kernel):
    result = kernel.run("class E:\n    def __repr__(self):\n        print('on')\n        while True: pass\nx = 4\nE()", interrupts=[b"on\n"])
    assert (result.outcome, result.error) == (EXCEPTION, "KeyboardInterrupt")
    assert kernel.value("x") == "4"


def test_rich_forms_of_a_value_come_as_items(kernel):
    result = kernel.run(
        "class R:\n"
        "    def __repr__(self): return 'R!'\n"
        "    def _repr_html_(self): return '<b>R</b>'\n"
        "    def _repr_png_(self): return b'png'\n"
        "    def _repr_latex_(self): return '$R$'\n"
        "print('before')\nR()"
    )
    assert result.value == "R!"
    assert result.items == [("image/png", b"png", 7), ("text/html", b"<b>R</b>", 7), ("text/latex", b"$R$", 7)]


def test_a_rich_form_that_fails_does_no_harm(kernel):
    result = kernel.run(
        "class R:\n    def __repr__(self): return 'R!'\n    def _repr_html_(self): raise ValueError('x')\nR()"
    )
    assert (result.outcome, result.value, result.items) == (OK, "R!", [])


def test_more_items_than_allowed_are_dropped_and_counted(kernel):
    kernel.run("class R:\n    def _repr_png_(self): return b'x' * (33 << 20)\n")
    result = kernel.run("R()")
    assert (result.items, result.dropped) == ([], 1)
    assert kernel.run("1").dropped == 0


def test_an_item_of_many_frames_arrives_whole(kernel):
    result = kernel.run("class R:\n    def _repr_png_(self): return bytes(range(256)) * (12 << 12)\nR()")
    assert result.items[0][1] == bytes(range(256)) * (12 << 12)


def test_top_level_await(kernel):
    assert kernel.value("import asyncio\nawait asyncio.sleep(0.01)\n5") == "5"
    assert kernel.value("await asyncio.sleep(0, 'done')") == "'done'"
    assert kernel.value("async def g():\n    yield 1\n    yield 2\n[x async for x in g()]") == "[1, 2]"
    assert kernel.value("asyncio.run(asyncio.sleep(0, 6))") == "6"
    assert kernel.value("await asyncio.sleep(0, 7)") == "7"


def test_a_task_left_behind_goes_on_with_the_next_await(kernel):
    kernel.run(
        "import asyncio\nseen = []\nasync def work():\n    for i in range(3):\n        await asyncio.sleep(0.01)\n"
        "        seen.append(i)\ntask = asyncio.ensure_future(work())\nawait asyncio.sleep(0)"
    )
    assert kernel.value("await task\nseen") == "[0, 1, 2]"


def test_future_imports_hold_for_later_cells(kernel):
    kernel.run("from __future__ import annotations")
    assert kernel.value("def f(x: nowhere.at.all): pass\nf.__annotations__") == "{'x': 'nowhere.at.all'}"
