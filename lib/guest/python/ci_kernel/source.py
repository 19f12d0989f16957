"""From the text of a cell to code objects: the statements, and the last expression apart, whose value is shown."""

from .private import BUILTINS as __builtins__  # noqa: F401

import __future__

import ast
import builtins
import linecache
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT, PyCF_ONLY_AST, BinOp, Expr, Expression, Module, Name

from .private import CELL_PREFIX

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag


class Cell:
    """A compiled cell: `body` and `last` are code objects or None; the value of `last` is shown unless `quiet`."""

    __slots__ = ("body", "last", "quiet")


class Compiler:
    """Compiles the cells of a namespace; what one imports from __future__ holds for the later ones."""

    def __init__(self, namespace, frontend):
        self._namespace = namespace
        self._frontend = frontend
        self._future = 0

    def compile(self, data, count):
        """Raises what compile() raises; a text that is no text at all is a SyntaxError too."""
        filename = "%s%d>" % (CELL_PREFIX, count)
        source = _decode(data, filename)
        self._remember_lines(filename, source)
        try:
            tree = self._parse(source, filename)
        except (SyntaxError, ValueError):
            transformed = self._transform(source)
            if transformed is None:
                raise
            tree = None
        else:
            transformed = self._transform(source) if self._may_be_command(tree) else None
        if transformed is not None:
            source = transformed
            self._remember_lines(filename, source)
            tree = self._parse(source, filename)
        return self._split(self._frontend.transform_tree(tree), source, filename)

    def _transform(self, source):
        transformed = self._frontend.transform(source)
        return None if transformed is None or transformed.rstrip() == source.rstrip() else transformed

    def _remember_lines(self, filename, source):
        # Without a time no one checks whether there is such a file.
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)

    def _parse(self, source, filename):
        return compile(
            source, filename, "exec", PyCF_ONLY_AST | PyCF_ALLOW_TOP_LEVEL_AWAIT | self._future, dont_inherit=True
        )

    def _compile(self, tree, filename, mode):
        flags = PyCF_ALLOW_TOP_LEVEL_AWAIT | self._future
        code = compile(tree, filename, mode, flags, dont_inherit=True)
        self._future |= code.co_flags & _FUTURE
        return code

    def _may_be_command(self, tree):
        """Whether a cell is but an expression that begins with a word that is no variable: `pwd`, `ls -l`."""
        if len(tree.body) != 1 or type(tree.body[0]) is not Expr:
            return False
        node = tree.body[0].value
        while type(node) is BinOp:
            node = node.left
        return type(node) is Name and node.id not in self._namespace and not hasattr(builtins, node.id)

    def _split(self, tree, source, filename):
        cell = Cell()
        statements = tree.body
        cell.body = cell.last = None
        cell.quiet = False
        if statements and type(statements[-1]) is Expr:
            last = statements.pop()
            cell.quiet = ";" in source and _ends_in_semicolon(last, source)
            if statements:
                cell.body = self._compile(Module(statements, tree.type_ignores), filename, "exec")
            cell.last = self._compile(Expression(last.value), filename, "eval")
        elif statements:
            cell.body = self._compile(tree, filename, "exec")
        return cell


def _decode(data, filename):
    try:
        source = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = "source is not valid UTF-8: byte 0x%02x in line %d (%s)" % (data[error.start], line, error.reason)
        raise SyntaxError(message, (filename, line, 0, None)) from None
    at = source.find("\0")
    if at >= 0:
        line = source.count("\n", 0, at) + 1
        raise SyntaxError("source contains a null byte in line %d" % line, (filename, line, 0, None))
    return source


def _ends_in_semicolon(statement, source):
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rest = lines[statement.end_lineno - 1].encode("utf-8", "surrogatepass")[statement.end_col_offset :]
    return rest.lstrip(b" \t\f)").startswith(b";")


ast.parse("")  # loads what parsing needs
