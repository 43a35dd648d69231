"""Which declared inputs of a program are inputs of the circuit, which are weights, and in which register."""

from __future__ import annotations

import re

from qfedfm.circuits.angle import Angle, input_angle, weight_angle
from qfedfm.circuits.circuit import Register
from qfedfm.circuits.openqasm.tokens import Token

_ROLE = re.compile(r"^([xw])(_?\d+)?$")


class Parameters:
    """The parameters of a program, as they are declared one after another.

    Args:
        source: The file's name, for errors.

    Attributes:
        angles: What each name stands for.
        registers: The registers by role, ``input`` or ``weight``.
        names: The names by role, in order.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.angles: dict[str, Angle] = {}
        self.registers: dict[str, list[Register]] = {"input": [], "weight": []}
        self.names: dict[str, list[str]] = {"input": [], "weight": []}
        self._numbered: dict[str, tuple[str, int]] = {}  # the last name with a number, by role
        self._open: str | None = None  # the role of the annotated register that is being filled
        self._pending: Token | None = None  # an annotation of a register, before its first declaration

    def annotate(self, token: Token) -> None:
        """Starts a register: an annotation ``@qfedfm.input NAME SHAPE`` or ``@qfedfm.weight NAME SHAPE``."""
        self._none_pending()
        self._all_filled(token)
        self._pending = token

    def declare(self, name: Token) -> None:
        """Adds the next parameter."""
        role = self._role(name)
        make = input_angle if role == "input" else weight_angle
        self.angles[name.text] = make(len(self.names[role]))
        self.names[role].append(name.text)
        if self._open and len(self.names[role]) == _end(self.registers[role]):
            self._open = None

    def finish(self, token: Token) -> None:
        """Checks, at the end of the program, that nothing is missing."""
        self._all_filled(token)
        self._none_pending()

    def _role(self, name: Token) -> str:
        """Returns ``input`` or ``weight`` for a declared name, and makes room for it in a register."""
        if self._pending is not None:
            return self._annotated(self._pending, name)
        if self._open is not None:
            return self._open
        match = _ROLE.match(name.text)
        if match is None:
            raise name.error(
                self.source,
                f"{name.text!r} is neither an input nor a weight: name it x_0 or w_0, or put "
                "@qfedfm.input or @qfedfm.weight in the line before it",
            )
        role = "input" if match[1] == "x" else "weight"
        number = int((match[2] or "_0").lstrip("_"))
        last_name, last_number = self._numbered.get(role, ("", -1))
        if number <= last_number:
            raise name.error(
                self.source,
                f"{name.text} stands after {last_name}: declare them in the order of their numbers",
            )
        self._numbered[role] = name.text, number
        registers = self.registers[role]
        if registers and registers[-1].name == match[1]:  # one register for all that go by their names
            last = registers.pop()
            registers.append(Register(last.name, last.start, (last.size + 1,)))
        else:
            registers.append(Register(match[1], len(self.names[role]), (1,)))
        return role

    def _annotated(self, annotation: Token, name: Token) -> str:
        keyword, *words = annotation.text[1:].split()
        role = keyword.removeprefix("qfedfm.")
        label = words[0] if words else name.text
        if not all(word.isdigit() and int(word) for word in words[1:]):
            raise annotation.error(
                self.source, f"expected a name and a shape, for example @{keyword} w 2 4 3"
            )
        shape = tuple(int(word) for word in words[1:]) or (1,)
        self.registers[role].append(Register(label, len(self.names[role]), shape))
        self._open, self._pending = role, None
        return role

    def _all_filled(self, token: Token) -> None:
        if self._open is None:
            return
        register = self.registers[self._open][-1]
        missing = _end(self.registers[self._open]) - len(self.names[self._open])
        raise token.error(
            self.source,
            f"register {register.name!r} of shape {register.shape} needs {missing} more inputs declared",
        )

    def _none_pending(self) -> None:
        if self._pending is not None:
            raise self._pending.error(self.source, "no input declaration follows this annotation")


def _end(registers: list[Register]) -> int:
    return registers[-1].start + registers[-1].size
