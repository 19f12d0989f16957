"""Top-level await: one event loop for all cells, so that tasks a cell leaves behind go on in the next that awaits. In a
cell that awaits anything all of the code runs within the loop."""

from .private import BUILTINS as __builtins__  # noqa: F401

# How long code that was interrupted may clean up: less than a call's grace, or the kernel would be ended.
_CLEAN_UP_S = 0.5
_CO_COROUTINE = 0x80  # as in inspect, which is slow to import


def awaits(cell):
    return any(code is not None and code.co_flags & _CO_COROUTINE for code in (cell.body, cell.last))


async def _evaluate(cell, namespace):
    value = None
    for code in (cell.body, cell.last):
        if code is not None:
            value = eval(code, namespace)
            if code.co_flags & _CO_COROUTINE:
                value = await value
    return None if cell.last is None else value


class EventLoop:
    def __init__(self):
        self._loop = None

    def run(self, cell, namespace):
        """Runs a cell; returns the value of its last expression."""
        import asyncio

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        loop = self._loop
        asyncio.set_event_loop(loop)
        task = loop.create_task(_evaluate(cell, namespace))
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if not task.done():  # interrupted: the code gets its chance to clean up
                task.cancel()
                loop.run_until_complete(asyncio.wait([task], timeout=_CLEAN_UP_S))
                try:
                    if task.done():
                        task.result()
                except BaseException as end:  # knows where the code was
                    error.__context__ = end
            raise
