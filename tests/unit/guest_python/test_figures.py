"""matplotlib: figures come back as PNG, once, in order, and closed."""

import json

import pytest
from host import EXCEPTION, OK

pytest.importorskip("matplotlib")

CHART = "application/vnd.ci.chart+json"
PNG = b"\x89PNG\r\n\x1a\n"
PLOT = "import matplotlib.pyplot as plt\n"


@pytest.fixture(params=["ipython", "plain", "data"])
def kernel(request, make):
    return make(request.param, MPLBACKEND="agg")


def images(result):
    assert result.outcome == OK, result.traceback
    assert result.stderr == b""
    assert [mime for mime, _, _ in result.items] == ["image/png", CHART] * (len(result.items) // 2)
    assert all(data.startswith(PNG) for _, data, _ in result.items[::2])
    return [at for _, _, at in result.items[::2]]


def size(png):
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_show_in_the_cell_that_imports(kernel):
    result = kernel.run(PLOT + "plt.plot([1, 2])\nprint('before')\nplt.show()\nprint('after')\nplt.get_fignums()")
    assert images(result) == [7]
    assert (result.stdout, result.value) == (b"before\nafter\n", "[]")
    assert images(kernel.run("1")) == []


def test_figures_left_open_come_at_the_end(kernel):
    result = kernel.run(PLOT + "plt.plot([1])\nprint('end')")
    assert images(result) == [4]
    assert images(kernel.run("plt.get_fignums()")) == []
    assert images(kernel.run("plt.plot([3]);")) == [0]


def test_figures_come_in_the_order_of_their_numbers(kernel):
    result = kernel.run(
        PLOT + "for n, w in ((3, 3), (1, 1), (2, 2)): plt.figure(n, figsize=(w * 2, 2)); plt.plot([1])\nplt.figure(1);"
    )
    widths = [size(data)[0] for _, data, _ in result.items[::2]]
    assert widths == sorted(widths) and len(widths) == 3


def test_a_figure_shown_and_left_open_comes_once(kernel):
    assert len(images(kernel.run(PLOT + "fig, ax = plt.subplots()\nax.plot([1])\nplt.show()"))) == 1
    assert len(images(kernel.run("fig, ax = plt.subplots()\nax.plot([1])\nfig"))) == 1
    assert len(images(kernel.run("fig, ax = plt.subplots()\nax.plot([1])\nfig.show()"))) == 1
    assert images(kernel.run("fig.savefig('later.png')")) == []


def test_a_figure_that_was_saved_comes_still(kernel, tmp_path):
    assert len(images(kernel.run(PLOT + "plt.plot([1])\nplt.savefig('f.png')"))) == 1
    assert (tmp_path / "f.png").read_bytes().startswith(PNG)


def test_a_closed_figure_does_not_come(kernel):
    assert images(kernel.run(PLOT + "plt.plot([1])\nplt.savefig('f.png')\nplt.close()")) == []
    assert images(kernel.run("fig = plt.figure(); plt.plot([1]); plt.close(fig)")) == []


def test_an_empty_figure_does_not_come(kernel):
    assert images(kernel.run(PLOT + "plt.figure();")) == []


def test_show_several_times(kernel):
    result = kernel.run(PLOT + "for i in range(3):\n    plt.plot([i])\n    plt.show()\n    print(i)")
    assert images(result) == [0, 2, 4]


@pytest.mark.parametrize(
    "backend", ["matplotlib.use('Agg')", "plt.switch_backend('svg')", "plt.ion()", "matplotlib.use('pdf')"]
)
def test_show_with_whatever_backend(kernel, backend):
    result = kernel.run("import matplotlib\n" + PLOT + backend + "\nplt.plot([1])\nplt.show()\nprint('x')")
    assert images(result) == [0]


def test_use_before_the_import_of_pyplot(kernel):
    result = kernel.run("import matplotlib\nmatplotlib.use('Agg')\n" + PLOT + "plt.plot([1])\nplt.show()\nprint(1)")
    assert images(result) == [0]


def test_a_function_of_a_module_that_shows(kernel, tmp_path):
    (tmp_path / "plots.py").write_text("from matplotlib.pyplot import plot, show\ndef go():\n    plot([1])\n    show()")
    assert images(kernel.run("import plots\nplots.go()\nprint(1)")) == [0]


def test_a_reloaded_pyplot(kernel):
    result = kernel.run(PLOT + "import importlib\nimportlib.reload(plt)\nplt.plot([1])\nplt.show()\nprint(1)")
    assert images(result) == [0]


def test_figures_of_a_cell_that_failed_come(kernel):
    result = kernel.run(PLOT + "plt.plot([1])\n1 / 0")
    assert (result.error, len(result.items)) == ("ZeroDivisionError", 2)
    result = kernel.run("plt.plot([1])\nraise SystemExit")
    assert len(images(result)) == 1


def test_figures_of_an_interrupted_cell_never_come(kernel):
    result = kernel.run(PLOT + "plt.plot([1])\nprint('on')\nwhile True: pass", interrupts=[b"on\n"])
    assert (result.error, result.items) == ("KeyboardInterrupt", [])
    assert images(kernel.run("1")) == []


def test_figures_whose_drawing_was_interrupted_never_come(kernel):
    text = "import time\nfor i in range(3): plt.figure(); plt.plot([i])\n"
    slow = "plt.figure(1).savefig = lambda *args, **kwargs: (print('on'), time.sleep(600))"
    result = kernel.run(PLOT + text + slow, interrupts=[b"on\n"])
    assert (result.error, result.items) == ("KeyboardInterrupt", [])
    assert images(kernel.run("1")) == []


def test_a_figure_that_cannot_be_drawn_is_an_exception(kernel):
    result = kernel.run(PLOT + "plt.title('$\\\\nonsense$')\nplt.figure()\nplt.plot([1])\n5")
    assert (result.outcome, result.error) == (EXCEPTION, "ValueError")
    assert [mime for mime, _, _ in result.items] == ["image/png", CHART]
    assert images(kernel.run("1")) == []
    result = kernel.run("plt.title('$\\\\nonsense$')\nplt.show()\nprint('not reached')")
    assert (result.error, result.stdout, result.items) == ("ValueError", b"", [])
    assert "<cell 3>" in result.traceback and "ci_kernel" not in result.traceback
    assert images(kernel.run("1")) == []


def test_a_figure_made_without_pyplot_is_shown_as_a_value(kernel):
    result = kernel.run("from matplotlib.figure import Figure\nf = Figure()\nf.subplots().plot([1])\nf")
    assert len(images(result)) == 1 and result.value.startswith("<Figure size")


def test_of_many_figures_the_pictures_come_first_of_all(kernel):
    kernel.run(PLOT + "plt.rcParams['figure.max_open_warning'] = 0")
    many = "for i in range(%d): plt.figure(figsize=(0.5, 0.5)); plt.gca().set_axis_off()\nprint('x')"
    result = kernel.run(many % 40)
    assert [mime for mime, _, _ in result.items] == ["image/png", CHART] * 16 + ["image/png"] * 24
    assert result.dropped == 24
    result = kernel.run(many % 50)
    assert (len(result.items), result.dropped) == (64, 36)
    assert images(kernel.run("plt.get_fignums()")) == []


def test_a_figure_shown_and_asked_for_in_one_cell_comes_once(kernel):
    result = kernel.run(PLOT + "fig, ax = plt.subplots()\nax.plot([1])\nplt.show()\nfig")
    assert len(images(result)) == 1 and result.value.startswith("<Figure size")
    assert len(images(kernel.run("fig"))) == 1  # it is asked for once more
    assert images(kernel.run("1")) == []
    assert images(kernel.run("print('a')\ndisplay(fig)\nprint('b')\ndisplay(fig)\nprint('c')")) == [2]


def test_a_figure_that_was_changed_comes_again(kernel):
    result = kernel.run(
        PLOT + "fig, ax = plt.subplots()\nax.plot([1, 2])\ndisplay(fig)\nprint('a')\nax.set_title('new')"
    )
    assert images(result) == [0, 2]
    assert [json.loads(data)["axes"][0]["title"] for _, data, _ in result.items[1::2]] == [None, "new"]
    result = kernel.run("ax.set_title('newer')\nfig")
    assert len(images(result)) == 1 and b"newer" in result.items[1][1]
    result = kernel.run(
        "fig, ax = plt.subplots()\nax.plot([1])\ndisplay(fig)\nprint('a')\nfig.savefig('f.png', dpi=50)"
    )
    assert images(result) == [0]


def test_figures_made_in_threads_come(kernel):
    result = kernel.run(
        PLOT + "import threading\ndef draw(n): plt.figure(n).gca().plot([n])\n"
        "ts = [threading.Thread(target=draw, args=[n]) for n in (1, 2)]\n"
        "for t in ts:\n    t.start(); t.join()\nprint('made')"
    )
    assert images(result) == [5, 5]
    result = kernel.run(
        "def show():\n    plt.plot([1])\n    plt.show()\nt = threading.Thread(target=show)\nt.start(); t.join()"
    )
    assert images(result) == [0]


def test_in_a_child_nothing_is_shown(kernel):
    result = kernel.run(
        PLOT + "import os\npid = os.fork()\n"
        "if pid == 0:\n    plt.plot([1])\n    plt.show()\n    os._exit(3)\nos.waitpid(pid, 0)[1] >> 8"
    )
    assert (images(result), result.value) == ([], "3")


def test_matplotlib_is_not_imported_by_the_kernel(make):
    assert make("ipython").value("import sys\n'matplotlib' in sys.modules") == "False"


def test_pandas_plots(kernel):
    pytest.importorskip("pandas")
    result = kernel.run("import pandas as pd\nax = pd.DataFrame({'a': [1, 2]}).plot()\nax.figure.number")
    assert len(images(result)) == 1


def test_inline_as_notebooks_have_it(make):
    kernel = make("ipython", MPLBACKEND="agg")
    result = kernel.run("%matplotlib inline\n" + PLOT + "plt.plot([1])\nplt.show()\nprint(1)")
    assert images(result) == [0]
    assert len(images(kernel.run("%config InlineBackend.figure_format = 'retina'\nplt.plot([1]);"))) == 1
    assert len(images(kernel.run("fig, ax = plt.subplots()\nfig"))) == 1
    assert len(images(kernel.run("fig, ax = plt.subplots()\ndisplay(fig)"))) == 1
    assert len(images(kernel.run("fig, ax = plt.subplots()\ndisplay(fig)\nplt.close(fig)"))) == 1
